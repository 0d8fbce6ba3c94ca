"""A check of the GPU's deformable convolution against its definition, before any frame depends on it.

A driver, a compiler or a chip at fault would otherwise show as a damaged video, hours later.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from edvr_cli.errors import DeviceError
from edvr_cli.ops.deform_conv import deform_conv2d_packed, deform_conv2d_packed_reference, implementation
from edvr_cli.ops.triton_status import attempt

__all__ = ["check_kernel", "check_operation"]

_SLOPE = 0.1
_ALLOWANCE = 2  # times plain torch's own error at the same precision

Operation = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]


@lru_cache
def check_kernel(device: torch.device, dtype: torch.dtype, features: int = 64, groups: int = 8) -> None:
    """Compare the kernel for ``device`` with the definition on a small random map; once for the same arguments.

    Takes milliseconds, and what the kernel's compilation takes where it was not compiled before; with the
    model's own ``features`` and ``groups`` that is not spent in vain. Does nothing on a device without a kernel.
    A kernel that cannot be compiled or launched is not used from then on, see ``triton_status``; one that computes
    wrongly is a DeviceError: its error is more than twice plain torch's at that precision.
    """
    arguments = _random_arguments(device, dtype, features, groups)
    if implementation(*arguments) == "triton":
        attempt(device, lambda: _verify_triton(arguments))


def _verify_triton(arguments: tuple[Tensor, ...]) -> None:
    from edvr_cli.ops.deform_conv_triton import choose_tiles, deform_conv2d_packed_triton  # noqa: PLC0415

    x, _, weight, _ = arguments
    # Small and large maps are cut differently, into different machine code.
    for tiles in {choose_tiles(pixels, weight.shape[0], x.element_size()) for pixels in (1, 2**30)}:
        verify(partial(deform_conv2d_packed_triton, tiles=tiles), arguments)


def check_operation(device: torch.device, dtype: torch.dtype) -> str:
    """Compare what ``device`` uses, whichever it is, with the definition; returns its name.

    Raises DeviceError as :func:`check_kernel` does.
    """
    arguments = _random_arguments(device, dtype, 64, 8)
    check_kernel(device, dtype)
    name = implementation(*arguments)
    if name in ("compiled", "torchvision"):
        verify(deform_conv2d_packed, arguments)
    return name


def verify(operation: Operation, arguments: tuple[Tensor, ...]) -> None:
    """Hold ``operation`` on (x, packed, weight, bias) against the definition in float64, or raise DeviceError."""
    x, packed, weight, bias = arguments
    with torch.no_grad():
        exact = deform_conv2d_packed_reference(x.double(), packed.double(), weight.double(), bias.double(), _SLOPE)
        plain = _error(deform_conv2d_packed_reference(x, packed, weight, bias, _SLOPE), exact)
        error = _error(operation(x, packed, weight, bias, _SLOPE), exact)
    if not error <= _ALLOWANCE * plain:  # NaN is an error too
        name = torch.cuda.get_device_name(x.device) if x.is_cuda else str(x.device)
        raise DeviceError(
            f"the deformable convolution computes wrongly on {name} in {str(x.dtype).removeprefix('torch.')}: "
            f"its error is {error:.1e} where plain torch has {plain:.1e}. Update the GPU's driver and PyTorch, "
            "or use --device cpu."
        )


def _random_arguments(device: torch.device, dtype: torch.dtype, features: int, groups: int) -> tuple[Tensor, ...]:
    """x, packed, weight, bias of a 3×3 convolution on a small odd-sized map, some offsets far outside."""
    random = torch.Generator().manual_seed(0)
    H, W = 13, 21
    x = torch.randn(1, features, H, W, generator=random)
    packed = torch.randn(1, 27 * groups, H, W, generator=random) * 3
    packed[:, :2, ::4] = 1e4
    weight = torch.randn(features, features, 3, 3, generator=random) / (9 * features) ** 0.5
    bias = torch.randn(features, generator=random)
    return tuple(t.to(device, dtype) for t in (x, packed, weight, bias))


def _error(result: Tensor, exact: Tensor) -> float:
    return float((result.double() - exact).norm() / exact.norm())
