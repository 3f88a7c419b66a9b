"""Runs the shards of a plan on a Ray cluster: preflight, placement, faults; knows nothing of tensors."""
