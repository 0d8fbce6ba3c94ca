"""Trained networks that a new one learns from: optical flow, restored frames, features and weights."""
