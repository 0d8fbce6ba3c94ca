"""A check of the GPU kernels against their definitions, before any frame depends on them.

A driver, a compiler or a chip at fault would otherwise show as a damaged video, hours later.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.errors import DeviceError
from edvr_cli.ops.attention import FRAMES, PLACES, gate_in_steps, weigh_in_steps
from edvr_cli.ops.conv import EPILOGUE, SHUFFLE, shuffled_in_steps
from edvr_cli.ops.deform_conv import KERNEL, TRAINING_KERNEL, deform_conv2d_packed, implementation, training_kernel
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference
from edvr_cli.ops.triton_status import attempt
from edvr_cli.ops.upsample import ENLARGING, concat_upsampled_in_steps

__all__ = ["check_gradients", "check_kernel", "check_operation"]

_SLOPE = 0.1
_ALLOWANCE = 2  # times plain torch's own error at the same precision
_HARMLESS = 1e-5  # where a GPU's exponential is compared with torch's, in float32
_FRAMES = 5  # of a window

Operation = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]


@lru_cache
def check_kernel(device: torch.device, dtype: torch.dtype, features: int = 64, groups: int = 8) -> None:
    """Compare the kernels for ``device`` with their definitions on a small random map; once for the same arguments.

    Takes milliseconds, and what the kernel's compilation takes where it was not compiled before; with the
    model's own ``features`` and ``groups`` that is needed anyway. Does nothing on a device without a kernel.
    A kernel that cannot be compiled or launched is not used from then on, see ``triton_status``; one that computes
    wrongly is a DeviceError: its error is more than twice plain torch's at that precision.
    """
    arguments = _random_arguments(device, dtype, features, groups)
    if implementation(*arguments) == "triton":
        attempt(device, KERNEL, lambda: _verify_deform(arguments))
        attempt(device, EPILOGUE, lambda: _verify_epilogue(arguments))
        for name, verify_one in _between_convolutions(arguments[0]).items():
            attempt(device, name, verify_one)


def _verify_deform(arguments: tuple[Tensor, ...]) -> None:
    from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton  # noqa: PLC0415 (triton is optional)
    from edvr_cli.ops.triton.tiles import products_of_torch, tiles_on  # noqa: PLC0415 (triton is optional)

    x, packed, weight, _ = arguments
    groups = packed.shape[1] // 27
    # Small and large maps are cut differently, into different machine code.
    for tiles in {tiles_on(x.device, pixels, weight, groups) for pixels in (1, 2**30)}:
        with _matrix_products(products_of_torch()):
            verify(partial(deform_conv2d_packed_triton, tiles=tiles), arguments)


def _verify_epilogue(arguments: tuple[Tensor, ...]) -> None:
    from edvr_cli.ops.triton.epilogue import epilogue_triton  # noqa: PLC0415 (triton is optional)

    verify_epilogue(partial(epilogue_triton, in_place=False), arguments)


def _between_convolutions(x: Tensor) -> dict[str, Callable[[], None]]:
    """By name, a check of each kernel for what lies between convolutions, on maps made of ``x`` (1, C, H, W)."""

    def weigh() -> None:
        from edvr_cli.ops.triton.attention import weighed_triton  # noqa: PLC0415 (triton is optional)

        embedded = torch.cat([x.roll(n, dims=1) for n in range(_FRAMES)]) / x.shape[1] ** 0.5
        verify_steps(FRAMES, weighed_triton, weigh_in_steps, (x.repeat(1, _FRAMES, 1, 1), embedded, x.flip(2)))

    def gate() -> None:
        from edvr_cli.ops.triton.attention import gated_triton  # noqa: PLC0415 (triton is optional)

        verify_steps(PLACES, gated_triton, gate_in_steps, (x, x.flip(1), x.flip(2)))

    def enlarge() -> None:
        from edvr_cli.ops.triton.resize import concat_upsampled_triton  # noqa: PLC0415 (triton is optional)

        whole = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        kernel = partial(concat_upsampled_triton, factor=2.0)
        verify_steps(ENLARGING, kernel, partial(concat_upsampled_in_steps, factor=2.0), (whole, x.flip(1)))

    def shuffle() -> None:
        from edvr_cli.ops.triton.resize import shuffled_triton  # noqa: PLC0415 (triton is optional)

        bias = x.new_zeros(4 * x.shape[1]) + x[0, 0, 0, 0]
        kernel = partial(shuffled_triton, negative_slope=_SLOPE)
        steps = partial(shuffled_in_steps, negative_slope=_SLOPE)
        verify_steps(SHUFFLE, kernel, steps, (x.repeat(1, 4, 1, 1), bias))

    if x.shape[1] & (x.shape[1] - 1):  # these kernels take powers of two
        return {PLACES: gate}
    return {FRAMES: weigh, PLACES: gate, ENLARGING: enlarge, SHUFFLE: shuffle}


@lru_cache
def check_gradients(device: torch.device, dtype: torch.dtype, features: int = 64, groups: int = 8) -> None:
    """Compare the kernels that train on ``device`` with their definition's gradients, as :func:`check_kernel` does."""
    x, packed, weight, bias = _random_arguments(device, dtype, features, groups)
    # Halves of pixels: at whole ones the gradient jumps, and rounding decides on which side a sample lies.
    offsets = packed.shape[1] // 3 * 2
    packed = torch.cat((packed[:, :offsets].floor() + 0.5, packed[:, offsets:]), dim=1)
    arguments = tuple(t.detach().requires_grad_() for t in (x, packed, weight, bias))
    if training_kernel(*arguments) == "triton":
        attempt(device, TRAINING_KERNEL, lambda: verify_gradients(deform_conv2d_packed, arguments))


@contextmanager
def _matrix_products(precision: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Have torch multiply float32 matrices on the GPU in this precision, as a kernel does that is held against it."""
    matmul = torch.backends.cuda.matmul
    # Torch 2.9 renamed the setting, and raises where the old name is asked for after the new one was set.
    renamed = hasattr(matmul, "fp32_precision")
    name, value = ("fp32_precision", precision) if renamed else ("allow_tf32", precision == "tf32")
    before = getattr(matmul, name)
    setattr(matmul, name, value)
    try:
        yield
    finally:
        setattr(matmul, name, before)


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
        plain = deform_conv2d_packed_reference(x, packed, weight, bias, _SLOPE)
        _compare(KERNEL, _attempt(operation, arguments), plain, exact)


def verify_gradients(operation: Operation, arguments: tuple[Tensor, ...]) -> None:
    """Hold the gradients of ``operation`` against the definition's in float64, or raise DeviceError."""

    def gradients(operation: Operation, dtype: torch.dtype) -> list[Tensor]:
        x, packed, weight, bias = given = [t.detach().to(dtype).requires_grad_() for t in arguments]
        y = operation(x, packed, weight, bias, _SLOPE)
        weights = torch.linspace(-1, 1, y.numel(), device=y.device, dtype=y.dtype).view_as(y)
        return list(torch.autograd.grad((y * weights).sum(), given))

    ours, plain, exact = (
        gradients(op, dtype)
        for op, dtype in (
            (operation, arguments[0].dtype),
            (deform_conv2d_packed_reference, arguments[0].dtype),
            (deform_conv2d_packed_reference, torch.float64),
        )
    )
    names = "features", "offsets", "weight", "bias"
    for name, *gradient in zip(names, ours, plain, exact, strict=True):
        _compare(f"{TRAINING_KERNEL} of the {name}", *gradient)


def verify_epilogue(operation: Callable[..., Tensor], arguments: tuple[Tensor, ...]) -> None:
    """Hold ``operation`` on (x, bias, added map, slope) against torch's own steps, as :func:`verify` does."""
    x, _, _, bias = arguments

    def steps(x: Tensor, bias: Tensor, add: Tensor) -> Tensor:
        return F.leaky_relu(x + bias.view(-1, 1, 1) + add, _SLOPE)

    verify_steps(EPILOGUE, lambda *maps: operation(*maps, _SLOPE), steps, (x, bias, x.flip(1)), harmless=0.0)


def verify_steps(
    what: str,
    operation: Callable[..., Tensor],
    steps: Callable[..., Tensor],
    arguments: tuple[Tensor, ...],
    *,
    harmless: float = _HARMLESS,
) -> None:
    """Hold ``operation`` on maps and vectors against torch's own ``steps``, as :func:`verify` does."""
    given = [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in arguments]
    with torch.no_grad():
        exact, plain = steps(*(t.double() for t in given)), steps(*given)
        _compare(what, operation(*given), plain, exact, harmless=harmless)


def _compare(what: str, result: Tensor, plain: Tensor, exact: Tensor, *, harmless: float = 0.0) -> None:
    """Raise DeviceError where ``result`` is further from ``exact`` than twice what ``plain`` is.

    A relative error up to ``harmless`` is none.
    """
    error, usual = _error(result, exact), _error(plain, exact)
    if not error <= max(_ALLOWANCE * usual, harmless):  # NaN is an error too
        name = torch.cuda.get_device_name(result.device) if result.is_cuda else str(result.device)
        raise DeviceError(
            f"{what} computes wrongly on {name} in {str(result.dtype).removeprefix('torch.')}: "
            f"its error is {error:.1e} where plain torch has {usual:.1e}. Update the GPU's driver and PyTorch",
            hint="device",
        )


def _attempt(operation: Operation, arguments: tuple[Tensor, ...]) -> Tensor:
    """The result of ``operation``; DeviceError where it does not compile for a processor, whatever numba raises."""
    x, packed, weight, bias = arguments
    try:
        return operation(x, packed, weight, bias, _SLOPE)
    except Exception as error:
        if x.device.type != "cpu" or isinstance(error, (DeviceError, MemoryError)):
            raise
        first = next(iter(str(error).splitlines()), "")
        raise DeviceError(
            f"the kernel for deformable convolutions fails on {x.device}: {type(error).__name__}: {first}"
        ) from error


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
