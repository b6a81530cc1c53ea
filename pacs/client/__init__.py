"""The integrated client: `manage.py dicom`."""
