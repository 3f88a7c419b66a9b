"""What this machine, its places and its cluster are good for: `distexpand doctor`."""
