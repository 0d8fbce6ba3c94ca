"""The EDVR network."""
