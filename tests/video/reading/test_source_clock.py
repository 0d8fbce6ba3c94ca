"""Recordings that were joined and captures whose clock jumps: one clock for all streams, mended once per jump."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from edvr_cli.video.reading.source_clock import demux_once, may_jump, read_clock
from tests.support.clips import frame_times, packets
from tests.video.test_cases import described, ffmpeg, restore  # noqa: F401 (a fixture)

KINDS = {
    "ts": ("libx264", "aac", ()),
    "m2ts": ("libx264", "ac3", ("-f", "mpegts", "-mpegts_m2ts_mode", "1")),
    "mpg": ("mpeg2video", "mp2", ("-f", "vob")),
    "vob": ("mpeg2video", "ac3", ("-f", "vob")),
}


def part(make: Callable[..., Path], kind: str, name: str, seconds: float, at: float, offset: float = 0) -> bytes:
    """A picture that turns white at the instant at which a tone begins, on a clock that begins at ``offset``."""
    video, audio, options = KINDS[kind]
    dark = f"color=black:s=32x32:d={seconds}:r=25,drawbox=c=white:t=fill:enable='gte(t,{at})'"
    tone = f"sine=1000:d={seconds}:r=48000,volume=0:enable='lt(t,{at})'"
    codecs = ["-c:v", video, "-g", "10", "-c:a", audio, "-output_ts_offset", str(offset), *options]
    return make("-f", "lavfi", "-i", dark, "-f", "lavfi", "-i", tone, *codecs, f"{name}.{kind}").read_bytes()


def turns_white(path: Path) -> list[float]:
    """When the picture turns from black to white."""
    with av.open(str(path)) as container:
        bright = [
            (float(frame.time), frame.to_ndarray(format="gray").mean() > 128) for frame in container.decode(video=0)
        ]
    return [time for (_, before), (time, after) in pairwise(bright) if after and not before]


def tone_begins(path: Path) -> list[float]:
    """When a tone follows silence, by the times of the packets, to a fiftieth of a second."""
    found, silent = [], True
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            for frame in packet.decode():
                loud = bool(np.abs(frame.to_ndarray()).max() > (0.05 if frame.format.name.startswith("flt") else 1000))
                if loud and silent and packet.pts is not None:
                    found.append(float(packet.pts * packet.time_base))
                silent = not loud
    return found


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_joined_recordings_stay_in_sync(ffmpeg: Callable[..., Path], tmp_path: Path, kind: str, target: str):  # noqa: F811
    """Three parts of different lengths, each beginning at the same time of the clock."""
    lengths = (0.6, 1.0, 0.8)
    source = tmp_path / f"joined.{kind}"
    source.write_bytes(b"".join(part(ffmpeg, kind, f"part{n}", s, s / 2) for n, s in enumerate(lengths)))
    result, told = restore(source, target)
    assert any("jumps 2 times" in message for message in told)
    white, tone = turns_white(result), tone_begins(result)
    assert len(white) == len(tone) == 3
    assert max(abs(a - b) for a, b in zip(white, tone, strict=True)) < 0.06
    times = frame_times(result)
    assert len(times) == 60
    assert times[-1] - times[0] < sum(lengths) + 0.2
    assert max(b - a for a, b in pairwise(times)) < 0.2
    assert "non monoton" not in described(result)


@pytest.mark.parametrize(("first", "second"), [(500, 3), (3, 500), (95442, 60), (3, 2.5)])
def test_a_clock_that_jumps_is_mended(ffmpeg: Callable[..., Path], tmp_path: Path, first: float, second: float):  # noqa: F811
    """Back, forward, over the end of the 33 bits that a transport stream counts in, and back within the first part."""
    parts = [part(ffmpeg, "ts", f"part{offset}", 0.8, 0.4, offset) for offset in (first, second)]
    source = tmp_path / "joined.ts"
    source.write_bytes(b"".join(parts))
    result, _ = restore(source, "out.mp4")
    times = frame_times(result)
    assert len(times) == 40
    assert 1.5 < times[-1] - times[0] < 1.8
    assert max(abs(a - b) for a, b in zip(turns_white(result), tone_begins(result), strict=True)) < 0.06


def test_a_pause_is_kept(ffmpeg: Callable[..., Path], tmp_path: Path):  # noqa: F811
    """Four seconds without a signal are no jump."""
    source = tmp_path / "joined.ts"
    source.write_bytes(part(ffmpeg, "ts", "a", 0.4, 0.2) + part(ffmpeg, "ts", "b", 0.4, 0.2, 4.4))
    result, told = restore(source, "out.mkv")
    assert not any("jumps" in message for message in told)
    assert max(b - a for a, b in pairwise(frame_times(result))) > 3.9


def test_sound_that_was_silent_for_long_does_not_move_the_picture(ffmpeg: Callable[..., Path]):  # noqa: F811
    """A stream that comes back after a minute comes back to where the others are."""
    shot = ["-f", "lavfi", "-i", "color=black:s=32x32:d=40:r=5", "-f", "lavfi", "-i", "sine=d=40:r=48000"]
    gap = ["-bsf:a", "noise=drop='between(pts*tb,3,35)'"]
    source = ffmpeg(*shot, "-c:v", "libx264", "-tune", "zerolatency", "-c:a", "ac3", *gap, "in.ts")
    with av.open(str(source)) as container:
        assert may_jump(container)
        clock = read_clock(container)
    assert clock.jumps == 0


def test_a_file_with_one_clock_is_left_alone(ffmpeg: Callable[..., Path]):  # noqa: F811
    """Nothing is read twice where a format keeps one clock, and sound packets stay at their times."""
    source = ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=32x32:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4", "-c:a", "aac", "in.mkv"
    )
    with av.open(str(source)) as container:
        assert not may_jump(container)
    result, told = restore(source, "out.mkv")
    assert packets(result) == packets(source)
    assert told == []


def test_a_pipes_clock_is_mended_as_it_comes(ffmpeg: Callable[..., Path], tmp_path: Path):  # noqa: F811
    """There is one stream, and no second look at it."""
    source = tmp_path / "joined.ts"
    source.write_bytes(part(ffmpeg, "ts", "a", 0.8, 0.4, 500) + part(ffmpeg, "ts", "b", 0.8, 0.4, 3))
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts for packet in demux_once(container, stream) if packet.size)
    assert {after - before for before, after in pairwise(times)} <= {3600, 7200, 10800}
    assert len(times) == 40


def test_each_stream_goes_on_where_the_longest_ended(ffmpeg: Callable[..., Path], tmp_path: Path):  # noqa: F811
    """No packet of sound is squeezed or lost where parts meet: their sound is longer than their picture."""
    shot = ["-f", "lavfi", "-i", "color=black:s=32x32:d=0.6:r=25", "-f", "lavfi", "-i", "sine=d=1:r=48000"]
    data = ffmpeg(*shot, "-c:v", "libx264", "-c:a", "mp2", "a.ts").read_bytes()
    source = tmp_path / "joined.ts"
    source.write_bytes(data * 3)
    result, _ = restore(source, "out.mp4")
    times = [time for _, time in packets(result)[0]]
    assert len(times) == len(packets(source)[0])
    assert min(b - a for a, b in pairwise(times)) > 0.023
    assert max(b - a for a, b in pairwise(times)) < 0.1
