"""Training: footage in, model file out."""
