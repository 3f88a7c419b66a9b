"""Recipes: three dialects read into one canonical form. Pure."""
