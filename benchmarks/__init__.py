"""Us, Orthanc and DCMTK side by side on one machine: `python -m benchmarks --help`."""
