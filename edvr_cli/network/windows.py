"""Which frames belong to the window around each frame: index arithmetic over shots, no torch."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

__all__ = ["PADDINGS", "Padding", "Window", "window_indices", "windows"]

Padding = Literal["replicate", "reflection", "reflection_circle", "circle"]
PADDINGS: tuple[str, ...] = get_args(Padding)

F = TypeVar("F")


@dataclass(frozen=True)
class Window(Generic[F]):
    """The frames around one reference frame, in the order the network takes them."""

    indices: tuple[int, ...]  # frame numbers in the video; a padded window names a frame out of turn
    frames: tuple[F, ...]

    @property
    def reference(self) -> F:
        """The frame to restore."""
        return self.frames[len(self.frames) // 2]


def window_indices(i: int, length: int, size: int, padding: Padding) -> tuple[int, ...]:
    """Frame numbers of the window of ``size`` (odd) around frame ``i`` of a clip of ``length`` frames.

    Frame 0 of a window of 5: replicate 0 0 0 1 2, reflection 2 1 0 1 2, reflection_circle 4 3 0 1 2,
    circle 3 4 0 1 2. A clip shorter than the window has too few frames to borrow from: it is replicated.
    """
    if not 0 <= i < length or size % 2 == 0 or padding not in PADDINGS:
        raise ValueError(f"no window of {size} frames with {padding!r} padding around frame {i} of {length}")
    radius, last = size // 2, length - 1
    if length < size:
        padding = "replicate"

    def inside(n: int) -> int:
        if 0 <= n <= last:
            return n
        if padding == "replicate":
            return min(max(n, 0), last)
        if padding == "reflection":
            return -n if n < 0 else 2 * last - n
        if padding == "reflection_circle":
            return i + radius - n if n < 0 else i - radius - (n - last)
        return n + size if n < 0 else n - size

    return tuple(inside(n) for n in range(i - radius, i + radius + 1))


def windows(frames: Iterable[tuple[F, bool]], size: int, padding: Padding) -> Iterator[Window[F]]:
    """One window per frame, in order, holding at most ``2 * size`` frames at a time.

    ``frames`` are pairs of a frame and whether it starts a shot. A shot is padded like a separate clip, so
    no window reaches across a cut.
    """
    radius = size // 2
    ring: deque[F] = deque()  # the frames of the shot from number ``dropped`` on
    first = dropped = done = 0  # the shot's first frame in the video; within the shot: frames let go, restored

    def ready(ended: bool) -> Iterator[Window[F]]:
        nonlocal dropped, done
        length = dropped + len(ring)
        # The first windows of a shot borrow from up to ``size`` frames ahead.
        while done < length and (ended or length >= max(size, done + radius + 1)):
            indices = window_indices(done, length, size, padding)
            yield Window(tuple(first + n for n in indices), tuple(ring[n - dropped] for n in indices))
            done += 1
            # The last windows of a shot borrow from up to ``size`` frames back.
            while len(ring) > 1 and dropped <= done - size:
                ring.popleft()
                dropped += 1

    for frame, starts_shot in frames:
        if starts_shot:
            yield from ready(ended=True)
            first += dropped + len(ring)
            ring.clear()
            dropped = done = 0
        ring.append(frame)
        yield from ready(ended=False)
    yield from ready(ended=True)
