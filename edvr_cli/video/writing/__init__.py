"""Encoding and writing of restored frames."""
