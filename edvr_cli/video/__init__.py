"""Video files in and out; the only importer of av and imageio_ffmpeg."""
