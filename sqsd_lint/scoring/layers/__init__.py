"""Compute the updates of one layer, one file per kind of training."""
