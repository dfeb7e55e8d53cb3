"""Rules about one row, a file each."""
