"""The trained network at work on frames."""
