"""Use cases: each ties rooms together for one command, and nothing else does."""
