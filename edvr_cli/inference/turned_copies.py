"""The mean of what a network makes of turned copies of a window (test-time augmentation)."""

from collections.abc import Callable

from torch import Tensor

from edvr_cli.image.turns import TURNS

__all__ = ["mean_of_turns"]

Frames = dict[int, Tensor]
Windows = list[tuple[int, ...]]


def mean_of_turns(
    count: int, frames: Frames, windows: Windows, restore: Callable[[int, Frames, Windows], Tensor]
) -> Tensor:
    """The mean of ``restore(number of the turn, frames, windows)`` for the first ``count`` turns, each turned back.

    ``frames`` are (3, H, W) by number, ``windows`` the numbers of each window's frames; ``restore`` returns
    (B, 3, s·H, s·W), which may be overwritten. A network errs differently in each turn, so the mean errs less. The
    self-ensemble of EDSR (Lim et al., 2017) turns pictures alone; here time runs backwards in those that are mirrored.
    """
    total: Tensor | None = None
    for number, turn in enumerate(TURNS[:count]):
        turned = {n: turn.apply(frame) for n, frame in frames.items()}
        in_order = [indices[::-1] for indices in windows] if turn.mirrors else windows
        restored = turn.undo(restore(number, turned, in_order))
        total = restored if total is None else total.add_(restored)
        del restored  # before the next one is computed
    assert total is not None  # there is a turn
    return total if count == 1 else total.div_(count)
