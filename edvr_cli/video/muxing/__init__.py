"""Muxing: streams joined into one file."""
