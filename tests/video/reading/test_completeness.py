"""Inputs that break off: said before the work where the file shows it, in any case when it is done."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edvr_cli.errors import OutputError
from edvr_cli.events import Event, Finished, Notice
from edvr_cli.video.reading.completeness import find_shortage
from edvr_cli.video.reading.sources import probe
from tests.jobs.test_pipeline import FAST, LEAST
from tests.support.errors import raises
from tests.support.networks import Identity
from tests.support.run import restore as restore_video
from tests.video.test_cases import ffmpeg  # noqa: F401 (a fixture)

KINDS = {
    "mp4": ["-c:v", "libx264", "-c:a", "aac", "-movflags", "faststart"],
    "mov": ["-c:v", "libx264", "-c:a", "pcm_s16le", "-movflags", "faststart"],
    "mkv": ["-c:v", "libx264", "-c:a", "aac"],
    "webm": ["-c:v", "libvpx", "-c:a", "libopus"],
    "avi": ["-c:v", "mpeg4", "-c:a", "mp3"],
    "wmv": ["-c:v", "wmv2", "-c:a", "wmav2"],
    "flv": ["-c:v", "flv", "-c:a", "mp3"],
    "m4v": ["-c:v", "libx264", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"],
}


def clip(make: Callable[..., Path], name: str, *options: str, sound: float = 2.0) -> Path:
    """Two seconds, 50 frames, with sound."""
    shot = ["-f", "lavfi", "-i", "testsrc2=s=48x32:d=2:r=25", "-f", "lavfi", "-i", f"sine=d={sound}:r=48000"]
    return make(*shot, *options, "-g", "10", name)


def restore(source: Path, target: str, **options: object) -> tuple[Finished, list[str]]:
    """What is said at the end, and before."""
    events: list[Event] = []
    finished = restore_video(
        source,
        source.with_name(target),
        model=Identity(LEAST),
        scale=1,
        encoding=FAST,
        on_event=events.append,
        **options,
    )
    return finished, [event.message for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("suffix", sorted(KINDS))
def test_an_input_that_breaks_off_is_reported(ffmpeg: Callable[..., Path], tmp_path: Path, suffix: str):  # noqa: F811
    """In the notes, in the summary, and by an error where every stream must come out whole."""
    whole = clip(ffmpeg, f"whole.{suffix}", *KINDS[suffix])
    half = tmp_path / f"half.{suffix}"
    data = whole.read_bytes()
    half.write_bytes(data[: len(data) * 6 // 10])
    finished, told = restore(half, "half_out.mkv")
    assert finished.frames < 45
    if suffix != "m4v":  # A fragment does not say how many follow it.
        assert finished.promised is not None
        # Where the header gives no count, it is reckoned by the bytes.
        assert abs(finished.promised - 50) <= (2 if suffix != "wmv" else 5)
        assert any(f"{finished.frames} of the {finished.promised} frames" in message for message in told)
    assert any("bytes" in message for message in told) == (suffix != "flv")
    with raises(OutputError, "breaks off", hint="strict"):
        restore(half, "strict.mkv", strict_streams=True)
    finished, told = restore(whole, "whole_out.mkv")
    assert (finished.frames, finished.promised) == (50, None)
    assert not any("break" in message for message in told)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi", "wmv"])
def test_a_file_whose_end_was_never_written_is_reported(ffmpeg: Callable[..., Path], suffix: str):  # noqa: F811
    """As long as it says, of zeros: some programs reserve the space of a download first."""
    source = clip(ffmpeg, f"in.{suffix}", *KINDS[suffix])
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 6 // 10].ljust(len(data), b"\0"))
    finished, told = restore(source, "out.mkv")
    assert finished.frames < 45
    assert any("break" in message or "decode" in message or "damaged" in message for message in told)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv"])
def test_sound_that_outlasts_the_picture_is_no_shortage(ffmpeg: Callable[..., Path], suffix: str):  # noqa: F811
    """The file is as long as it says; the picture is not."""
    finished, told = restore(clip(ffmpeg, f"in.{suffix}", *KINDS[suffix], sound=5), "out.mkv")
    assert finished.promised is None
    assert not any("break" in message for message in told)


def test_an_edit_list_is_no_shortage(ffmpeg: Callable[..., Path]):  # noqa: F811
    """A trimmed recording holds frames that are not shown."""
    clip(ffmpeg, "whole.mp4", *KINDS["mp4"])
    source = ffmpeg("-ss", "1.1", "-i", "whole.mp4", "-c", "copy", "in.mp4")
    finished, told = restore(source, "out.mp4")
    assert finished.promised is None
    assert not any("break" in message for message in told)


@pytest.mark.parametrize("junk", [bytes(100), b"junk" * 100, b"\xff\xff\xff\xffmdat"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "wmv"])
def test_what_follows_a_whole_file_is_no_shortage(ffmpeg: Callable[..., Path], suffix: str, junk: bytes):  # noqa: F811
    """Some programs append data of their own; a box that begins there counts."""
    source = clip(ffmpeg, f"in.{suffix}", *KINDS[suffix])
    assert find_shortage(source) is None
    source.write_bytes(source.read_bytes() + junk)
    assert (find_shortage(source) is None) == (suffix != "mp4" or b"mdat" not in junk)


def test_a_file_written_live_promises_nothing(ffmpeg: Callable[..., Path], tmp_path: Path):  # noqa: F811
    """Its header is written before its length is known."""
    source = clip(ffmpeg, "in.mkv", *KINDS["mkv"], "-live", "1")
    part = tmp_path / "part.mkv"
    part.write_bytes(source.read_bytes()[:-2000])
    assert find_shortage(part) is None
    assert probe(part).share == 1
