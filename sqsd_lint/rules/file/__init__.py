"""Rules about a file as a whole, a file each."""
