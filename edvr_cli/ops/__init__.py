"""Tensor operations that torch does not have, each with a plain reference and faster twins."""
