"""The tests, and the small networks, clips and interpreters they share."""
