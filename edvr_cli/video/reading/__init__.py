"""Video files, pictures and pipes in."""
