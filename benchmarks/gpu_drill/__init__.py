"""The first minutes on a GPU: is everything right there, how fast is it, and where does the time go."""
