"""Make a large language model bigger: plan, stream and verify layer expansions."""

__version__ = "0.1.0"
