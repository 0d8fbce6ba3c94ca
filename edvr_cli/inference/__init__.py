"""Inference: a trained network restores frames."""
