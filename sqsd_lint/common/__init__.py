"""What several rooms share: atomic files, strict JSON, numbers as text, statistics, progress."""
