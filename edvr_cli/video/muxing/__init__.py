"""Streams joined into one file."""
