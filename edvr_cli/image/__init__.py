"""Tensors as pictures: resampling and metrics."""
