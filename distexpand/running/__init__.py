"""Running models to see what they say: in little memory, whatever their size, and before they are written."""
