"""Work that must not be lost: videos in segments with a manifest of what is done, and folders of videos."""
