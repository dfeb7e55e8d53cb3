"""Scores of more rows than one process scores: shards, what runs them, and the folder that they fill.

A shard is a pure function of its descriptor and of what scores it: whoever runs it, and how often, its file
is the same. So a scheduler may kill and repeat shards as it likes, and nothing but finished files is kept.
"""
