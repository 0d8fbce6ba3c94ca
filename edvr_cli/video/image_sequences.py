"""Numbered pictures as a video, and a video as numbered pictures.

A sequence is named as FFmpeg names it, ``frames/%06d.png``, or by the folder that holds it. Each picture is one
file that is read whole and decoded by itself: nothing that a picture says can lead to another file.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from edvr_cli.errors import InputError, OutputError
from edvr_cli.video import heif
from edvr_cli.video.containers import reason
from edvr_cli.video.tiff import holds_jpeg, is_tiff
from edvr_cli.video.upright import upright

# What FFmpeg's decoders are called for the pictures that are read, by suffix; heif is none of them.
DECODERS = {
    ".png": "png", ".tif": "tiff", ".tiff": "tiff", ".exr": "exr", ".dpx": "dpx", ".bmp": "bmp", ".jpg": "mjpeg",
    ".jpeg": "mjpeg", ".webp": "webp", ".jp2": "jpeg2000", ".j2k": "jpeg2000", ".tga": "targa", ".ppm": "ppm",
    ".pgm": "pgm", ".pnm": "ppm", **dict.fromkeys(heif.SUFFIXES, "heif"),
}  # fmt: skip
# And its encoders for those that are written: each packet of theirs is a whole file. Pictures of the first kinds keep
# theirs unless another is asked for; a second loss must be.
LOSSLESS = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".exr": "exr", ".dpx": "dpx"}
ENCODERS = {**LOSSLESS, ".jpg": "mjpeg", ".jpeg": "mjpeg", ".webp": "libwebp"}

_SIGNATURES = {
    b"\x89PNG": "png", b"\xff\xd8\xff": "mjpeg", b"II*\0": "tiff", b"MM\0*": "tiff", b"v/1\1": "exr", b"SDPX": "dpx",
    b"XPDS": "dpx", b"BM": "bmp", b"\0\0\0\x0cjP": "jpeg2000", b"\xff\x4f\xff\x51": "jpeg2000", b"P5": "pgm",
    b"P6": "ppm", b"GIF8": "gif",
}  # fmt: skip
_UNSPECIFIED_RANGE, _FULL_RANGE = 0, 2  # as FFmpeg counts; pictures of gray or RGB use all values
_GRAY = 2  # components at most, one of them transparency
_HEAD = 1 << 16  # bytes, in which a PNG says that it is an animation
_COUNTER = re.compile(r"%(0?)(\d*)d")


@dataclass(frozen=True)
class ImageNames:
    """Names of an output's pictures: ``folder``/``prefix`` number ``suffix``.

    ``names`` are the source's own names without suffixes, for output that keeps them; then nothing is counted.
    ``by_time`` says that frames of pictures are meant, whose times are their places among these. ``single`` is a
    name for one picture without a number.
    """

    folder: Path
    prefix: str = ""
    digits: int = 1
    suffix: str = ".png"
    first: int = 1
    names: tuple[str, ...] = ()
    by_time: bool = False
    single: bool = False

    def name(self, index: int) -> str:
        """The file name of the picture at ``index`` of the source, counted from 0."""
        if self.single:
            return f"{self.prefix}{self.suffix}"
        if self.names:
            return f"{self.names[index]}{self.suffix}"
        return f"{self.prefix}{self.first + index:0{self.digits}d}{self.suffix}"

    def taken(self) -> list[Path]:
        """Existing files in the folder that have these names."""
        if not self.folder.is_dir():
            return []
        if self.single:
            wanted = self.folder / self.name(0)
            return [wanted] if wanted.exists() else []
        if self.names:
            return [path for index in range(len(self.names)) if (path := self.folder / self.name(index)).exists()]
        head, _, tail = self.suffix.rpartition(".")
        shape = re.compile(re.escape(self.prefix) + r"\d+" + re.escape(f"{head}.{tail}"))
        return sorted(path for path in self.folder.iterdir() if shape.fullmatch(path.name))


def is_still_picture(path: Path) -> bool:
    """Whether ``path`` is one picture: a file with a picture's suffix that is not an animation."""
    if path.suffix.lower() not in DECODERS or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return True  # Whoever decodes it says why it cannot be read.
    if heif.is_heif(head):
        return not heif.is_sequence(head)
    animated_webp = head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)
    return not animated_webp and b"acTL" not in head.partition(b"IDAT")[0]


def find_images(path: Path) -> list[Path] | None:
    """The pictures that ``path`` names, in order: a folder's, or those of a pattern. None for any other path.

    A folder's pictures must be of one kind; they are ordered by the numbers in their names. Raises InputError
    where there are none, or of several kinds.
    """
    if path.is_dir():
        return _in_folder(path)
    counter = _COUNTER.search(path.name)
    if counter is None or path.exists():
        return None
    if path.suffix.lower() not in DECODERS:
        raise InputError(f"{path}: pictures end in one of {', '.join(DECODERS)}.")
    numbers = re.compile(
        re.escape(path.name[: counter.start()]) + r"(\d+)" + re.escape(path.name[counter.end() :]), re.ASCII
    )
    width = int(counter[2] or 1)
    found = []
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        match = numbers.fullmatch(other.name)
        if match and (len(match[1]) == width or (len(match[1]) > width and match[1][0] != "0")):
            found.append((int(match[1]), other))
    if not found:
        raise InputError(f"{path}: no pictures match.")
    return [other for _, other in sorted(found)]


def holds_images(path: Path) -> bool:
    """Whether a folder has pictures, which may be a sequence."""
    return any(item.suffix.lower() in DECODERS and not item.name.startswith(".") for item in path.iterdir())


def gaps(paths: Sequence[Path]) -> int:
    """Number of missing pictures between the first and the last."""
    numbers = [_number(path) for path in paths]
    if None in numbers or not numbers:
        return 0
    known = [number for number in numbers if number is not None]
    return max(0, known[-1] - known[0] + 1 - len(known))


def output_names(target: Path, source: Sequence[Path] = ()) -> ImageNames | None:
    """Names of the pictures of ``target``, or None where it does not mean pictures.

    ``target`` is a pattern, one picture, or, with a ``source`` of pictures, a folder. Numbers, or whole names in
    a folder, are the source's. Raises OutputError for kinds of pictures that are not written.
    """
    suffix = target.suffix.lower()
    counter = _COUNTER.search(target.name)
    if source and counter is None and (not suffix or target.is_dir()):
        kind = source[0].suffix
        names = tuple(path.stem for path in source)
        _check_apart(names, source)
        return ImageNames(target, suffix=kind if kind.lower() in LOSSLESS else ".png", names=names, by_time=True)
    if suffix not in ENCODERS:
        if suffix in DECODERS:
            raise OutputError(f"{target}: {suffix} pictures are not written; use one of {', '.join(ENCODERS)}.")
        return None
    if counter is None:
        return ImageNames(target.parent, target.stem, suffix=target.suffix, single=True)
    first = _number(source[0]) if source and not gaps(source) else 1
    return ImageNames(
        folder=target.parent,
        prefix=target.name[: counter.start()],
        digits=int(counter[2] or 1),
        suffix=target.name[counter.end() :],
        first=1 if first is None else first,
        by_time=bool(source),
    )


def decode_images(
    paths: Sequence[Path], *, first: int = 0, threads: int = 0, on_warning: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[int, VideoFrame]]:
    """(place in ``paths``, picture, upright) of each file from the one at ``first`` on.

    ``on_warning`` receives a sentence about each picture of which a part is missing. Raises InputError for a file that
    cannot be read or is not a picture.
    """
    for index in range(first, len(paths)):
        path = paths[index]
        try:
            data = path.read_bytes()
            if is_tiff(data) and holds_jpeg(data):
                # FFmpeg decodes these to black pictures, without an error.
                raise InputError(f"{path} is a TIFF that holds a JPEG, which cannot be read here: save it as PNG.")
            frame = heif.decode_heif(path, threads) if heif.is_heif(data) else _decoded(data, path, threads, on_warning)
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{path} is not a picture that can be read: {reason(error)}.") from error
        frame = upright(frame)
        if frame.color_range == _UNSPECIFIED_RANGE and (frame.format.is_rgb or len(frame.format.components) <= _GRAY):
            frame.color_range = _FULL_RANGE
        yield index, frame


def _decoded(data: bytes, path: Path, threads: int, on_warning: Callable[[str], None]) -> VideoFrame:
    """The picture in a file that one of FFmpeg's decoders takes whole."""
    name = _decoder_for(data, path)

    def decode(options: dict[str, str]) -> VideoFrame:
        # A decoder for each: one that has decoded a PNG before adds it to the next.
        decoder = av.CodecContext.create(name, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.options = options
        decoder.thread_type, decoder.thread_count = "SLICE", threads
        frames = decoder.decode(Packet(data)) if data else []
        if not frames:
            raise InputError(f"{path} holds no picture.")
        return frames[0]

    # FFmpeg fills up what is missing of a JPEG without a word. With other formats, what it objects to does no harm.
    if name == "mjpeg":
        with suppress(av.FFmpegError):
            return decode({"err_detect": "explode"})
        frame = decode({})
        on_warning(f"{path} is damaged or breaks off before its end: a part of the picture is missing or wrong.")
        return frame
    return decode({})


def _decoder_for(data: bytes, path: Path) -> str:
    """What decodes a file, by its first bytes, for names may be wrong; by its name where these do not tell.

    Raises InputError where neither does.
    """
    found = (decoder for begin, decoder in _SIGNATURES.items() if data.startswith(begin))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    name = next(found, DECODERS[path.suffix.lower()])
    if name == "heif":
        raise InputError(f"{path} is not a picture that can be read: it does not begin as one of its kind does.")
    return name


def _check_apart(names: Sequence[str], source: Sequence[Path]) -> None:
    """Raises OutputError where two pictures, which differ in their suffixes alone, would get one name."""
    seen: dict[str, Path] = {}
    for name, path in zip(names, source, strict=True):
        other = seen.setdefault(name, path)
        if other is not path:
            raise OutputError(f"{other} and {path.name} would become one picture; rename one, or number the output.")


def _in_folder(path: Path) -> list[Path]:
    files = [item for item in path.iterdir() if item.is_file() and not item.name.startswith(".")]
    pictures = [item for item in files if item.suffix.lower() in DECODERS]
    if not pictures:
        raise InputError(f"{path} is a directory without pictures; give a video file.")
    kinds = sorted({item.suffix.lower() for item in pictures})
    if len({DECODERS[kind].replace("pgm", "ppm") for kind in kinds}) > 1:
        raise InputError(
            f"{path} holds pictures of several kinds ({', '.join(kinds)}); name one: {path}/%06d{kinds[0]}."
        )
    return sorted(pictures, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Names in the order of the numbers in them: 9 before 10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part], path.name


def _number(path: Path) -> int | None:
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else None
