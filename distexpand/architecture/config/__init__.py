"""Configs remapped to a new order of layers."""
