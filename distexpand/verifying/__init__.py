"""Is an output whole, is it right, does it load."""
