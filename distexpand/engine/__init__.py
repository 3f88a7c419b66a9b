"""Executes one shard of a plan: blocks in, transforms, digests, blocks out."""
