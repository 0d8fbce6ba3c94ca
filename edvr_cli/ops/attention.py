"""What the fusion does between its convolutions: frames weighed by their likeness, and features by attention.

Maps are (N, C, H, W). These are the definitions; on a GPU each is one Triton kernel (``triton.attention``), which reads
every map once.
"""

from torch import Tensor

from edvr_cli.ops.triton_status import attempt, fuses, is_pixels_first

__all__ = ["gate", "weigh_by_likeness"]


def weigh_by_likeness(stacked: Tensor, embedded: Tensor, reference: Tensor) -> Tensor:
    """Frames side by side, each pixel of each times the sigmoid of its likeness to the reference, a sum over channels.

    stacked (B, T·C, h, w), embedded (B·T, C, h, w), reference (B, C, h, w) → like ``stacked``.
    """
    if fuses(stacked, embedded, reference):
        y = attempt(stacked.device, "attention to frames", lambda: _weighed_by_triton(stacked, embedded, reference))
        if y is not None:
            return y
    B, C = reference.shape[:2]
    likeness = (embedded.unflatten(0, (B, -1)) * reference.unsqueeze(1)).sum(dim=2, keepdim=True).sigmoid()
    return (stacked.unflatten(1, (-1, C)) * likeness).flatten(1, 2)


def gate(x: Tensor, attention: Tensor, added: Tensor) -> Tensor:
    """``x`` times twice the sigmoid of ``attention``, plus ``added``; all of one shape."""
    if fuses(x, attention, added):
        y = attempt(x.device, "attention to places", lambda: _gated_by_triton(x, attention, added))
        if y is not None:
            return y
    return x * attention.sigmoid() * 2 + added


def _weighed_by_triton(stacked: Tensor, embedded: Tensor, reference: Tensor) -> Tensor | None:
    from edvr_cli.ops.triton.attention import weighed_triton  # noqa: PLC0415 (triton is optional)

    C = reference.shape[1]
    suits = is_pixels_first(stacked, embedded, reference) and C & (C - 1) == 0 and stacked.numel() > 0
    return (
        weighed_triton(stacked, embedded, reference) if suits and _of_one_type(stacked, embedded, reference) else None
    )


def _gated_by_triton(x: Tensor, attention: Tensor, added: Tensor) -> Tensor | None:
    from edvr_cli.ops.triton.attention import gated_triton  # noqa: PLC0415 (triton is optional)

    suits = is_pixels_first(x, attention, added) and _of_one_type(x, attention, added) and x.numel() > 0
    return gated_triton(x, attention, added) if suits else None


def _of_one_type(*maps: Tensor) -> bool:
    return len({m.dtype for m in maps}) == 1
