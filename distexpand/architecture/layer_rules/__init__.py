"""Rules by which configs tell their layers apart, and their values for a new order of layers."""
