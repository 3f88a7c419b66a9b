"""The layer picture on a terminal and in a model card."""
