"""Encoded pictures, from segments into numbered files."""

from collections.abc import Sequence
from pathlib import Path

from edvr_cli.errors import OutputError
from edvr_cli.video.image_sequences import ImageNames
from edvr_cli.video.muxing.timeline import segment_packets
from edvr_cli.video.writing.writer import EncodedVideo


def write_images(segments: Sequence[EncodedVideo], names: ImageNames, target: Path) -> None:
    """Write each packet of the segments as a picture: into the new folder ``target``, or as that one file.

    Pictures from pictures keep their numbers: their times are places in the sequence. Others are counted from the
    first. Raises OutputError where one cannot be written.
    """
    if names.single and sum(segment.frame_count for segment in segments) > 1:
        raise OutputError(f"{names.name(0)} is one picture, but the video has more; number them with %06d.")
    counted = 0
    try:
        if not names.single:
            target.mkdir()
        for segment in segments:
            for packet in segment_packets(segment):
                index = packet.pts if names.by_time else counted
                assert index is not None
                path = target if names.single else target / names.name(index)
                with path.open("xb") as file:
                    file.write(bytes(packet))
                counted += 1
    except OSError as error:
        raise OutputError(f"{target}: a picture cannot be written: {error.strerror}.") from error
