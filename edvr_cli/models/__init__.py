"""Models: known ones, their files, reading and saving."""
