"""The Hub: models by name and commit, read by ranges or from the local cache."""
