"""The report, one file per format."""
