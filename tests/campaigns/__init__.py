"""Long runs against real processes, by hand: `python -m tests.campaigns.NAME --help`; short forms are in the suite."""
