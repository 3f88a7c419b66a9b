"""Outputs on the Hub: shards to a branch of the run, then one commit to the target."""
