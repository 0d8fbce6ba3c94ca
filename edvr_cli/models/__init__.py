"""Checkpoints: which are known, where they are, how they are read and saved."""
