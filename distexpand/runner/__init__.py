"""Runs the shards of a plan: placement, progress, interruption; knows nothing of tensors."""
