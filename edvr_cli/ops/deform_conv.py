"""The modulated deformable convolution (DCNv2): contract, dispatch, and the plain-torch reference.

Shapes: N batch, C channels in, O channels out, H W pixels, G deformable groups, k kernel size, K = k·k taps.

    y[n, :, p] = bias + Σ_t weight[:, :, t] · mask[n, t, p] · x[n, :, p + tap(t) + offset[n, t, p]]

Stride 1, padding k // 2. Each of the G groups of C / G channels has its own offsets (in pixels, interleaved
dy, dx per tap) and mask. Sampling is bilinear, zero outside: a sample at ≤ −1 or ≥ size contributes nothing.
Layout and meaning equal torchvision's ``deform_conv2d``.

Two forms of the same operation:

- :func:`deform_conv2d` takes offset and mask apart, as the literature writes it;
- :func:`deform_conv2d_packed` takes the raw output of EDVR's ``conv_offset`` (offset, then mask before its
  sigmoid) and applies a LeakyReLU at the end, so that an implementation can fuse all of it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.ops.numba_status import numba_fault
from edvr_cli.ops.triton_status import attempt, triton_fault

__all__ = [
    "convolve_rows",
    "deform_conv2d",
    "deform_conv2d_packed",
    "deform_conv2d_packed_reference",
    "deform_conv2d_reference",
    "implementation",
    "missing_kernel",
]

_KERNEL_TYPES = (torch.float16, torch.bfloat16, torch.float32)
_COMPILED_TYPES = (torch.bfloat16, torch.float32)


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve ``x`` at offset positions, on the fastest implementation for its device.

    x (N, C, H, W), offset (N, 2·G·K, H, W), mask (N, G·K, H, W), weight (O, C, k, k) with odd k, bias (O,);
    one floating dtype and one device. Returns (N, O, H, W). Raises ValueError on shapes that do not fit.
    """
    _check(x, offset, mask, weight, bias)
    name = implementation(x, offset, mask, weight, bias)
    if name == "triton":
        y = attempt(x.device, lambda: _by_triton(x, offset, mask, weight, bias))
        if y is not None:
            return y
        name = implementation(x, offset, mask, weight, bias)  # the next one, now that Triton has failed
    if name == "compiled":
        from edvr_cli.ops.cpu.deform_conv import deform_conv2d_compiled  # noqa: PLC0415 (numba is optional)

        return deform_conv2d_compiled(x, offset, mask, weight, bias)
    from edvr_cli.ops import deform_conv_fallback as fallback  # noqa: PLC0415 (it uses this module)

    if name == "torchvision":
        return fallback.deform_conv2d_torchvision(x, offset, mask, weight, bias)
    return fallback.deform_conv2d_in_strips(x, offset, mask, weight, bias)


def _by_triton(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    from edvr_cli.ops.triton.deform_conv import deform_conv2d_triton  # noqa: PLC0415 (triton is optional)

    return deform_conv2d_triton(x, offset, mask, weight, bias)


def deform_conv2d_packed(
    x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None = None, negative_slope: float = 1.0
) -> Tensor:
    """:func:`deform_conv2d` on ``conv_offset``'s raw output, then LeakyReLU (slope 1: none).

    packed (N, 3·G·K, H, W): the first 2·G·K channels are the offset, the sigmoid of the others the mask.
    """
    if torch.compiler.is_compiling():
        return _opaque(x, packed, weight, bias, negative_slope)
    offset, mask = split_packed(packed, weight.shape[-1])
    _check(x, offset, mask, weight, bias)
    if bias is not None and _trains_compiled(x, packed, weight, bias):
        from edvr_cli.ops.cpu.deform_conv_grad import deform_conv2d_packed_trained  # noqa: PLC0415

        return deform_conv2d_packed_trained(x, packed, weight, bias, negative_slope)
    name = implementation(x, packed, weight, bias)
    if name == "triton":
        fused = attempt(x.device, lambda: _packed_by_triton(x, packed, weight, bias, negative_slope))
        if fused is not None:
            return fused
        name = implementation(x, packed, weight, bias)  # the next one, now that Triton has failed
    if name == "compiled":
        from edvr_cli.ops.cpu.deform_conv import deform_conv2d_packed_compiled  # noqa: PLC0415

        return deform_conv2d_packed_compiled(x, packed, weight, bias, negative_slope)
    from edvr_cli.ops import deform_conv_fallback as fallback  # noqa: PLC0415 (it uses this module)

    convolve = fallback.deform_conv2d_torchvision if name == "torchvision" else fallback.deform_conv2d_in_strips
    y = convolve(x, offset, mask.sigmoid(), weight, bias)
    return y if negative_slope == 1.0 else F.leaky_relu(y, negative_slope)


def _packed_by_triton(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None, negative_slope: float) -> Tensor:
    from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton  # noqa: PLC0415 (triton is optional)

    return deform_conv2d_packed_triton(x, packed, weight, bias, negative_slope)


@torch.library.custom_op("edvr::deform_conv2d_packed", mutates_args=())
def _opaque(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None, negative_slope: float) -> Tensor:
    """:func:`deform_conv2d_packed` as one operation that compilers do not look into; the output is channels_last."""
    y = deform_conv2d_packed(x, packed, weight, bias, negative_slope)
    return y.contiguous(memory_format=torch.channels_last)


@_opaque.register_fake
def _(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None, negative_slope: float) -> Tensor:
    N, _, H, W = x.shape
    return x.new_empty((N, weight.shape[0], H, W)).contiguous(memory_format=torch.channels_last)


def implementation(x: Tensor, *others: Tensor | None) -> str:
    """Name the implementation for these tensors: ``"triton"``, ``"torchvision"``, ``"compiled"`` or ``"reference"``.

    The fastest that works on their device. Triton's and the compiled kernel have no backward: training takes
    torchvision's where it is installed on a GPU's default stream, for the packed form on a CPU a compiled kernel of its
    own, and the reference elsewhere.
    """
    tensors = [x, *(t for t in others if t is not None)]
    trains = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if x.is_cuda:
        if any(t.device != x.device or t.dtype not in _KERNEL_TYPES for t in tensors):
            return "reference"
        if not trains and not missing_kernel(x.device):
            return "triton"
        from edvr_cli.ops.deform_conv_fallback import torchvision_serves  # noqa: PLC0415 (it uses this module)

        return "torchvision" if torchvision_serves(x.device) else "reference"
    alike = all(t.device.type == "cpu" and t.dtype == x.dtype for t in tensors)
    if alike and not trains and x.dtype in _COMPILED_TYPES and numba_fault() is None:
        return "compiled"
    return "reference"


def _trains_compiled(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether the compiled backward takes these: up to float32, and groups a power of two wide."""
    tensors = x, packed, weight, bias
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors):
        return False
    lanes = x.shape[1] * 3 * weight.shape[-1] ** 2 // packed.shape[1]
    return (
        lanes & (lanes - 1) == 0
        and all(t.device.type == "cpu" and t.dtype in _COMPILED_TYPES for t in tensors)
        and numba_fault() is None
    )


def missing_kernel(device: torch.device) -> str:
    """Why ``device`` has no kernel for this operation, in a few words; "" where it has one.

    Without one it takes several times as long.
    """
    if device.type == "cpu":
        fault = numba_fault()
        return fault.reason if fault else ""
    if device.type != "cuda":
        return f"there is none for {device.type}"
    fault = triton_fault(device)
    return fault.reason if fault else ""


def deform_conv2d_reference(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """The definition in plain torch: any device, any floating dtype, differentiable. Shapes as the contract.

    Samples all taps into a (N, C·K, H·W) column matrix, K times the input, then multiplies. Half precisions
    are computed in float32: their coordinates would be off by whole pixels.
    """
    return convolve_rows(x, offset, mask, weight, bias, 0)


def convolve_rows(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, first: int) -> Tensor:
    """The rows of :func:`deform_conv2d_reference`'s output from ``first`` on that offset and mask are given for."""
    N, C, H, W = x.shape
    O, _, k, _ = weight.shape
    K = k * k
    G = mask.shape[1] // K
    rows = mask.shape[2]
    dtype = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32

    tap = torch.arange(K, device=x.device)
    row = torch.arange(first, first + rows, device=x.device, dtype=dtype)
    column = torch.arange(W, device=x.device, dtype=dtype)
    tap_y = (tap // k - k // 2).to(dtype).view(K, 1, 1)
    tap_x = (tap % k - k // 2).to(dtype).view(K, 1, 1)
    offset = offset.to(dtype).reshape(N, G, K, 2, rows, W)
    # grid_sample's coordinates run from −1 to 1 over the outer edges of the border pixels.
    y = (offset[:, :, :, 0] + (tap_y + row.view(rows, 1) + 0.5)) * (2 / H) - 1
    z = (offset[:, :, :, 1] + (tap_x + column.view(1, W) + 0.5)) * (2 / W) - 1
    grid = torch.stack((z, y), dim=-1).view(N * G, K * rows, W, 2)
    samples = F.grid_sample(x.to(dtype).reshape(N * G, C // G, H, W), grid, padding_mode="zeros", align_corners=False)
    columns = samples.reshape(N, G, C // G, K, rows, W) * mask.to(dtype).reshape(N, G, 1, K, rows, W)
    y = weight.to(dtype).reshape(O, C * K) @ columns.reshape(N, C * K, rows * W)
    if bias is not None:
        y = y + bias.to(dtype).view(O, 1)
    return y.view(N, O, rows, W).to(x.dtype)


def deform_conv2d_packed_reference(
    x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None = None, negative_slope: float = 1.0
) -> Tensor:
    """The definition of :func:`deform_conv2d_packed`, step by step."""
    offset, mask = split_packed(packed, weight.shape[-1])
    y = deform_conv2d_reference(x, offset, mask.sigmoid(), weight, bias)
    return y if negative_slope == 1.0 else F.leaky_relu(y, negative_slope)


def split_packed(packed: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """Views of ``packed`` (N, 3·G·K, H, W): offset (N, 2·G·K, H, W) and mask before its sigmoid (N, G·K, H, W)."""
    channels, K = packed.shape[1], kernel_size**2
    if channels % (3 * K):
        raise ValueError(f"packed offsets need a multiple of {3 * K} channels, got shape {tuple(packed.shape)}")
    return packed[:, : channels // 3 * 2], packed[:, channels // 3 * 2 :]


def _check(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    shapes = f"x {tuple(x.shape)}, offset {tuple(offset.shape)}, mask {tuple(mask.shape)}, weight {tuple(weight.shape)}"
    if x.dim() != 4 or weight.dim() != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ValueError(f"expected x (N, C, H, W) and weight (O, C, k, k) with odd k; got {shapes}")
    N, C, H, W = x.shape
    K = weight.shape[2] ** 2
    G = mask.shape[1] // K
    if weight.shape[1] != C or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(f"weight and bias do not fit the input: {shapes}")
    if G == 0 or C % G or mask.shape != (N, G * K, H, W) or offset.shape != (N, 2 * G * K, H, W):
        raise ValueError(f"expected offset (N, 2GK, H, W) and mask (N, GK, H, W) with C divisible by G; got {shapes}")
