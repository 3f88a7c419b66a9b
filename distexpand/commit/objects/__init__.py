"""Outputs in object stores: leased, uploaded by parts, named when whole."""
