"""Bundles elsewhere: the Hub and any store that fsspec reaches."""
