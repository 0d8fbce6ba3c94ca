"""Encoded pictures, from segments into numbered files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edvr_cli.errors import InputError, OutputError
from edvr_cli.video.color_profiles import profile_in, samples_of, with_profile
from edvr_cli.video.image_sequences import ImageNames
from edvr_cli.video.muxing.timeline import segment_packets
from edvr_cli.video.writing.writer import EncodedVideo

__all__ = ["PictureProfiles", "write_images"]


@dataclass(frozen=True)
class PictureProfiles:
    """Color profiles of a sequence of pictures, where they are about ``samples`` (``RGB`` or ``GRAY``).

    Each of the ``pictures`` has its own; a source of another kind has a ``common`` one.
    """

    samples: str
    pictures: tuple[Path, ...] = ()
    common: bytes | None = None

    def of(self, index: int) -> bytes | None:
        """The profile of the picture at a place in the sequence, None where it has none that fits."""
        try:
            profile = profile_in(self.pictures[index].read_bytes()) if self.pictures else self.common
        except OSError as error:
            raise InputError(f"{self.pictures[index]} cannot be read any more: {error.strerror}.") from error
        return profile if profile is not None and samples_of(profile) == self.samples else None


def write_images(
    segments: Sequence[EncodedVideo], names: ImageNames, target: Path, *, profiles: PictureProfiles | None = None
) -> None:
    """Write each packet of the segments as a picture: into the new folder ``target``, or as that one file.

    Pictures from pictures keep their numbers: their times are places in the sequence. Others are counted from the
    first. ``profiles`` says whose color profiles they get. Raises OutputError where one cannot be written, InputError
    where a picture with a profile cannot be read any more.
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
                picture = bytes(packet)
                if profiles is not None and (profile := profiles.of(packet.pts or 0)):
                    picture = with_profile(picture, profile)
                with path.open("xb") as file:
                    file.write(picture)
                counted += 1
    except OSError as error:
        raise OutputError(f"{target}: a picture cannot be written: {error.strerror}.") from error
