"""What is in a source, before anything is done to it."""

import os

from edvr_cli.video.reading.info import StreamInfo, VideoInfo
from edvr_cli.video.reading.sources import Source, as_source

__all__ = ["StreamInfo", "VideoInfo", "probe"]


def probe(source: str | os.PathLike[str] | Source) -> VideoInfo:
    """Describe a source; decodes one frame, so that what is described can be decoded.

    Raises InputError for one that is missing, not media, without video, encrypted, or undecodable.
    """
    return as_source(source).describe()
