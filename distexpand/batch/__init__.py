"""A list of expansions that may be started again at any time, and from two places at once."""
