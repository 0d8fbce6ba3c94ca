"""Video files: reading, writing, muxing; the only package that imports av and imageio_ffmpeg."""
