"""Decoding of all frames of a file, in display order, in spite of damaged packets."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame

from edvr_cli.errors import InputError
from edvr_cli.video.containers import reason
from edvr_cli.video.protection import has_protected_samples
from edvr_cli.video.pyav import time_base
from edvr_cli.video.reading.alpha_decoder import VideoTrack, video_track
from edvr_cli.video.reading.source_clock import STEADY, SourceClock, demux_once

Warn = Callable[[str], None]

# Packets looked at for a first decodable frame; a broken start is common in captures, a broken minute is not.
_PROBE_PACKETS = 1000
# So many packets in a row that do not decode, and the rest of the file is not worth waiting for.
_MAX_UNDECODABLE_RUN = 500
# How long before the wanted instant decoding starts, in seconds, tried one after the other until the frames
# before the instant decode cleanly, as then those after it do. None is the start of the file.
_SEEK_MARGINS = (2, 20, None)


def decode(
    path: str | os.PathLike[str],
    opener: Callable[[], InputContainer],
    *,
    instant: Fraction | None,
    threads: int,
    on_warning: Warn,
    clock: SourceClock = STEADY,
) -> Iterator[VideoFrame]:
    """Frames in display order from the start, or from a little before ``instant``, in seconds.

    ``opener`` opens the file, which messages call ``path``, each time it is read; ``clock`` is the file's. ``threads``
    is libav's count, 0 for one per core. Packets that do not decode are counted and reported to ``on_warning``; 500 in
    a row raise InputError.
    """
    damage = _Damage(path, on_warning)
    last: VideoFrame | None = None
    pending: set[int] = set()
    for frame in _decode_from(path, opener, instant, damage, pending, clock, threads=threads, thread_type="AUTO"):
        last = frame
        yield frame
    end = last.pts if last is not None else None
    if last is not None and end is not None and any(pts > end for pts in pending):
        # Packets at the end gave no frame. When one of the last packets is damaged, frame threads lose the
        # good ones that follow it: decode the end again, packet by packet.
        again = damage if not damage.count else _Damage(path, lambda message: None)
        for frame in _decode_from(path, opener, _instant(last), again, set(), clock, threads=1, thread_type="SLICE"):
            if frame.pts is not None and frame.pts > end:
                yield frame
    damage.report()


def decode_once(track: VideoTrack, path: str | os.PathLike[str], on_warning: Warn) -> Iterator[VideoFrame]:
    """Frames in display order of a container that cannot be read twice, from where it is."""
    damage = _Damage(path, on_warning)
    yield from _frames(track, damage, set(), None)
    damage.report()


def _decode_from(
    path: str | os.PathLike[str],
    opener: Callable[[], InputContainer],
    instant: Fraction | None,
    damage: "_Damage",
    pending: set[int],
    clock: SourceClock,
    *,
    threads: int,
    thread_type: str,
) -> Iterator[VideoFrame]:
    # Where the clock jumps, a time does not say where in the file it is.
    for margin in _SEEK_MARGINS if instant is not None and not clock.jumps else (None,):
        with opener() as container:
            track = video_track(container, path, threads=threads)
            track.decoder.thread_type = thread_type
            pending.clear()
            frames = _frames(track, damage, pending, clock)
            if margin is None or instant is None:
                yield from frames
                return
            if _seek(track, instant - margin):
                first = next(frames, None)
                if first is not None and _begins_cleanly(first, instant):
                    yield first
                    yield from frames
                    return
        # Opening the file again reads libav's log: before that, this decoder's threads must have ended (see libav_log).
        del frames, track, container


def first_frame(track: VideoTrack, path: str | os.PathLike[str]) -> VideoFrame:
    """The first frame that decodes. Raises InputError where none of the first packets does, with the reason."""
    failure: Exception | None = None
    seen = 0
    for packet in _demuxed(track, path):
        seen += packet.size > 0
        if packet.has_sidedata("encryption_info") and has_protected_samples(Path(path)) is not False:
            raise InputError(f"{path} is encrypted (DRM); a decrypted copy is needed.")
        try:
            frames = track.decode(packet)
        except av.FFmpegError as error:
            failure, frames = error, []
        if frames:
            return frames[0]
        if seen > _PROBE_PACKETS:
            break
    if not seen:
        raise InputError(f"{path} holds no frames: only a header, or its data is missing.")
    detail = f": {reason(failure)}" if failure else ""
    codec = track.decoder.name
    which = "the first packet" if seen == 1 else f"none of the first {seen} packets"
    what = "does not decode" if seen == 1 else "decodes"
    raise InputError(f"{path}: {which} of its {codec} video {what}{detail}.")


def _demuxed(track: VideoTrack, path: str | os.PathLike[str]) -> Iterator[Packet]:
    """The stream's packets. Raises InputError where the container gives none any more."""
    try:
        yield from track.container.demux(track.stream)
    except av.FFmpegError as error:
        raise InputError(f"{path} is damaged, so that no packet can be read: {reason(error)}.") from error


def _seek(track: VideoTrack, instant: Fraction) -> bool:
    try:
        track.container.seek(int(instant // time_base(track.stream)), stream=track.stream)
    except av.FFmpegError:  # No index, or nothing so early: a longer way round finds it.
        return False
    return True


def _begins_cleanly(frame: VideoFrame, instant: Fraction) -> bool:
    return not frame.is_corrupt and (_instant(frame) or instant + 1) <= instant


def _instant(frame: VideoFrame) -> Fraction | None:
    return frame.pts * time_base(frame) if frame.pts is not None and frame.time_base else None


def _frames(track: VideoTrack, damage: "_Damage", pending: set[int], clock: SourceClock | None) -> Iterator[VideoFrame]:
    """Decode to the end; ``pending`` keeps the times of the packets whose frames have not come out."""
    for packet in _packets(track, damage, clock):
        if packet is not None and packet.size and packet.pts is not None and not packet.is_discard:
            pending.add(packet.pts)
        try:
            frames = track.decode(packet)
        except av.error.EOFError:  # Flushed before, by a damaged packet.
            frames = []
        except av.error.MemoryError:
            raise
        except av.FFmpegError as error:
            damage.add(packet, error)
            frames = []
        for frame in frames:
            damage.end_run()
            if frame.pts is not None:
                pending.discard(frame.pts)
            yield frame
        if frames and len(pending) > 1000 and frames[-1].pts is not None:
            # The second fields of interlaced pictures have times that no frame repeats.
            newest = frames[-1].pts
            pending.intersection_update([pts for pts in pending if pts > newest])


def _packets(track: VideoTrack, damage: "_Damage", clock: SourceClock | None) -> Iterator[Packet | None]:
    """The stream's packets, then None to flush; a file that breaks off ends where it does."""
    stream = track.stream
    packets = demux_once(track.container, stream) if clock is None else clock.demux(track.container, [stream])
    try:
        for packet in packets:
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        damage.cut_off(error)
    yield None


class _Damage:
    """Counts packets that do not decode, reports the first and the total, and stops at too many in a row."""

    def __init__(self, path: str | os.PathLike[str], on_warning: Warn) -> None:
        self.count = 0
        self._path = path
        self._warn = on_warning
        self._run = 0

    def add(self, packet: Packet | None, error: av.FFmpegError) -> None:
        if packet is None:  # Said while flushing, of a packet at the end; decoding the end again finds it.
            return
        self.count += 1
        self._run += 1
        if self.count == 1:
            at = f" at {float(packet.pts * time_base(packet)):.3f} s" if packet.pts is not None else ""
            self._warn(f"A video packet{at} does not decode: {reason(error)}.")
        if self._run >= _MAX_UNDECODABLE_RUN:
            raise InputError(
                f"{self._path}: {self._run} video packets in a row do not decode.",
                hint="end",
            ) from error

    def cut_off(self, error: av.FFmpegError) -> None:
        self._warn(f"The file breaks off before its end: {reason(error)}.")

    def end_run(self) -> None:
        self._run = 0

    def report(self) -> None:
        if self.count > 1:
            self._warn(f"{self.count} video packets did not decode; their frames are missing in the source.")
