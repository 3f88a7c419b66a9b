"""Layer stacks: found from names, shapes and counts."""
