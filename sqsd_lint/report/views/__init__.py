"""What commands other than `check` print."""
