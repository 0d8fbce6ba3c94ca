"""Encoded frames out."""
