"""Comparison and measurement of results."""
