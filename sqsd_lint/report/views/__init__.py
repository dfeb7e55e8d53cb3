"""Print what commands other than `check` print."""
