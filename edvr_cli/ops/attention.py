"""What the fusion does between its convolutions: frames weighed by their likeness, and features by attention.

Maps are (N, C, H, W). These are the definitions; on a GPU each is one Triton kernel (``triton.attention``), which reads
every map once.
"""

from torch import Tensor

from edvr_cli.ops.triton_status import attempt, fuses, is_pixels_first

__all__ = ["FRAMES", "PLACES", "gate", "gate_in_steps", "weigh_by_likeness", "weigh_in_steps"]

FRAMES, PLACES = "attention to frames", "attention to places"  # names of the Triton kernels


def weigh_by_likeness(stacked: Tensor, embedded: Tensor, reference: Tensor) -> Tensor:
    """Multiply each pixel of each frame by the sigmoid of its likeness to the reference.

    stacked (B, T·C, h, w), the frames side by side; their likeness is the sum over channels of the products of
    embedded (B·T, C, h, w) and reference (B, C, h, w). Returns the shape of ``stacked``.
    """
    if fuses(stacked, embedded, reference):
        y = attempt(stacked.device, FRAMES, lambda: _weighed_by_triton(stacked, embedded, reference))
        if y is not None:
            return y
    return weigh_in_steps(stacked, embedded, reference)


def weigh_in_steps(stacked: Tensor, embedded: Tensor, reference: Tensor) -> Tensor:
    """:func:`weigh_by_likeness`, by torch's own operations."""
    B, C = reference.shape[:2]
    likeness = (embedded.unflatten(0, (B, -1)) * reference.unsqueeze(1)).sum(dim=2, keepdim=True).sigmoid()
    return (stacked.unflatten(1, (-1, C)) * likeness).flatten(1, 2)


def gate(x: Tensor, attention: Tensor, added: Tensor) -> Tensor:
    """``x`` times twice the sigmoid of ``attention``, plus ``added``; all of one shape."""
    if fuses(x, attention, added):
        y = attempt(x.device, PLACES, lambda: _gated_by_triton(x, attention, added))
        if y is not None:
            return y
    return gate_in_steps(x, attention, added)


def gate_in_steps(x: Tensor, attention: Tensor, added: Tensor) -> Tensor:
    """:func:`gate`, by torch's own operations."""
    return x * attention.sigmoid() * 2 + added


def _weighed_by_triton(stacked: Tensor, embedded: Tensor, reference: Tensor) -> Tensor | None:
    from edvr_cli.ops.triton.attention import weighed_triton  # noqa: PLC0415 (triton is optional)

    C = reference.shape[1]
    suits = _suits(stacked, embedded, reference) and C & (C - 1) == 0
    return weighed_triton(stacked, embedded, reference) if suits else None


def _gated_by_triton(x: Tensor, attention: Tensor, added: Tensor) -> Tensor | None:
    from edvr_cli.ops.triton.attention import gated_triton  # noqa: PLC0415 (triton is optional)

    return gated_triton(x, attention, added) if _suits(x, attention, added) else None


def _suits(*maps: Tensor) -> bool:
    """Whether the kernels take these: not empty, channels_last, of one type."""
    return maps[0].numel() > 0 and is_pixels_first(*maps) and len({m.dtype for m in maps}) == 1
