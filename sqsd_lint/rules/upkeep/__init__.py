"""Rules about what was accepted before: suppressions and the baseline, a file each."""
