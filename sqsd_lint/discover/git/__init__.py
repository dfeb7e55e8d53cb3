"""Git: the repository, its objects, what changed, and the policy of a commit."""
