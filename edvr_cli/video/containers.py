"""Open media files, local ones only, with one sentence for each way in which it fails."""

import errno
import os
import sys
from functools import lru_cache
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from edvr_cli.errors import InputError, reason_of
from edvr_cli.system.pipes import PipeReader
from edvr_cli.video.addresses import as_url, is_url
from edvr_cli.video.protection import has_protected_samples
from edvr_cli.video.pyav import TAGS_AS_BYTES

# Demuxers that follow references to other files, read devices, or draw text files as pictures.
_REFUSED_FORMATS = {
    "adf", "bintext", "concat", "dash", "data", "ffmetadata", "hls", "idf", "image2", "imf", "lavfi", "rtsp", "sdp",
    "tty", "xbin",
}  # fmt: skip
# By itself libav lets a local playlist lead to local files alone.
_PERMISSIONS = {"protocol_whitelist": "file,crypto,data,http,https,httpproxy,tcp,tls,udp,rtp,rtmp,rtmps,ftp"}
# What an mp4, or a part of one, begins with.
_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"free", b"skip", b"pssh", b"uuid")
# What the boxes of an encrypted mp4 are called; looked for where FFmpeg can only say "invalid data".
_ENCRYPTION_MARKS = (b"encv", b"pssh", b"sinf")


_SYSTEM_ERRORS = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ESTALE, errno.ELOOP}
_MOST_BOXES = 10_000
_BUFFER = 1 << 17  # bytes read from a pipe at once
_PATIENCE = 60.0  # seconds without a byte from the network


def open_source(
    path: str | os.PathLike[str], *, allow_network: bool = False, hwaccel: HWAccel | None = None
) -> InputContainer:
    """Open a media file for reading, on a device if one is given; close it by using it as a context manager.

    Neither the network nor another file can be reached through what the file says, unless ``allow_network`` is
    given; ``path`` may be an address then. Raises InputError for a path that is missing, a directory, unreadable,
    or not media.
    """
    name = Path(path)
    if allow_network and is_url(name.as_posix()) and not name.exists():
        return _open(as_url(name.as_posix()), name, _PERMISSIONS, hwaccel=hwaccel)
    if not name.exists():
        raise InputError(f"{name}: no such file.")
    if name.is_dir():
        raise InputError(f"{name} is a directory; give a video file.")
    if name.is_file() and name.stat().st_size == 0:
        raise InputError(f"{name} is empty.")
    # The "file:" prefix keeps a colon in a name from being taken for a protocol.
    return _open(f"file:{name}", name, _PERMISSIONS if allow_network else _restrictions("file"), hwaccel=hwaccel)


def open_pipe(path: Path, options: dict[str, str]) -> InputContainer:
    """Open standard input (``-``) or a named pipe. With ``options`` it is raw samples, which these describe."""
    standard = path == Path("-")
    if standard and (sys.stdin is None or sys.stdin.isatty()):
        raise InputError("Nothing is piped into standard input; give a file, or pipe a video in.")
    try:
        pipe = PipeReader(None if standard else path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}.") from error
    return _open(pipe, path, {**_restrictions("pipe"), **options}, "rawvideo" if options else None)


def _open(
    address: str | PipeReader,
    name: Path,
    options: dict[str, str],
    format_name: str | None = None,
    *,
    hwaccel: HWAccel | None = None,
) -> InputContainer:
    try:
        return av.open(
            address,
            format=format_name,
            options=options,
            hwaccel=hwaccel,
            buffer_size=_BUFFER,
            timeout=_PATIENCE if isinstance(address, str) and "://" in address else None,
            **TAGS_AS_BYTES,
        )
    except PermissionError as error:
        raise InputError(f"{name} cannot be read: permission denied.") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, OSError) and (not isinstance(error, av.FFmpegError) or error.errno in _SYSTEM_ERRORS):
            raise InputError(f"{name} cannot be read: {reason_of(error)}.") from error
        if name.is_file() and _looks_encrypted(name):
            raise InputError(f"{name} is encrypted (DRM); a decrypted copy is needed.") from error
        if name.is_file() and _lacks_index(name):
            raise InputError(
                f"{name} has no index (moov atom): it was not recorded or copied to its end. Get it again, or repair "
                "it with a tool for that, such as untrunc."
            ) from error
        raise InputError(f"{name} is not a video that can be read, or is damaged: {reason(error)}.") from error


def _restrictions(protocol: str) -> dict[str, str]:
    return {"protocol_whitelist": protocol, "format_whitelist": _allowed_formats()}


def main_video(container: InputContainer, path: str | os.PathLike[str]) -> VideoStream:
    """The stream to restore: the default or first one that is not cover art.

    Raises InputError for none, and for a HEIF picture, each of whose tiles is a stream.
    """
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if "mif1" in container.metadata.get("compatible_brands", "") and not container.duration:
        raise InputError(f"{path} is a HEIF picture: give it a name that ends in .heic or .avif.")
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        cover = " other than cover art" if container.streams.video else ""
        raise InputError(f"{path} has no video stream{cover} ({kinds}).")
    return next((stream for stream in streams if stream.disposition & Disposition.default), streams[0])


def is_cover(stream: av.stream.Stream) -> bool:
    """Whether a stream is a picture attached to the file: a cover or thumbnails, not the video."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def readable(text: str) -> str:
    """A tag as it can be printed: bytes that are not UTF-8 become question marks in a box (U+FFFD)."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def reason(error: Exception) -> str:
    """libav's message without error number and path, in lower case at the start."""
    text = getattr(error, "strerror", None) or str(error)
    log = getattr(error, "log", None)
    if log:
        text = f"{text} ({log[2].strip().rstrip('.')})"
    return text[:1].lower() + text[1:]


@lru_cache
def _allowed_formats() -> str:
    return ",".join(sorted(av.formats_available - _REFUSED_FORMATS))


def _lacks_index(path: Path) -> bool:
    """Whether a file is an mp4, box by box, without the box that says what is in it."""
    kinds: list[bytes] = []
    try:
        with path.open("rb") as file:
            while len(header := file.read(16)) == 16 and len(kinds) < _MOST_BOXES:
                size = int.from_bytes(header[:4], "big")
                kinds.append(header[4:8])
                if size == 1:
                    size = int.from_bytes(header[8:], "big")
                if not size:  # to the end of the file
                    break
                if size < 8:
                    return False
                file.seek(size - 16, os.SEEK_CUR)
    except (OSError, ValueError):
        return False
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds


def _looks_encrypted(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(1 << 20)
    except OSError:
        return False
    if head[4:8] not in _FIRST_BOXES:
        return False
    return any(mark in head for mark in _ENCRYPTION_MARKS) and has_protected_samples(path) is not False
