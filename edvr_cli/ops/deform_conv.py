"""The modulated deformable convolution (DCNv2): contract and dispatch.

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

from edvr_cli.ops import deform_conv_fallback as fallback
from edvr_cli.ops.deform_conv_reference import split_packed
from edvr_cli.ops.numba_status import numba_fault
from edvr_cli.ops.triton_status import attempt, triton_fault

__all__ = [
    "KERNEL",
    "TRAINING_KERNEL",
    "deform_conv2d",
    "deform_conv2d_packed",
    "implementation",
    "missing_kernel",
    "training_kernel",
]

KERNEL = "the deformable convolution"
TRAINING_KERNEL = "the deformable convolution's gradient"
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
        y = attempt(x.device, KERNEL, lambda: _by_triton(x, offset, mask, weight, bias))
        if y is not None:
            return y
        name = implementation(x, offset, mask, weight, bias)  # the next one, now that Triton has failed
    if name == "compiled":
        from edvr_cli.ops.cpu.deform_conv import deform_conv2d_compiled  # noqa: PLC0415 (numba is optional)

        return deform_conv2d_compiled(x, offset, mask, weight, bias)
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
    trained = training_kernel(x, packed, weight, bias)
    if trained == "compiled":
        from edvr_cli.ops.cpu.deform_conv_grad import deform_conv2d_packed_trained  # noqa: PLC0415

        assert bias is not None
        return deform_conv2d_packed_trained(x, packed, weight, bias, negative_slope)
    if trained == "triton":
        y = attempt(x.device, TRAINING_KERNEL, lambda: _trained_by_triton(x, packed, weight, bias, negative_slope))
        if y is not None:
            return y
    name = implementation(x, packed, weight, bias)
    if name == "triton":
        fused = attempt(x.device, KERNEL, lambda: _packed_by_triton(x, packed, weight, bias, negative_slope))
        if fused is not None:
            return fused
        name = implementation(x, packed, weight, bias)  # the next one, now that Triton has failed
    if name == "compiled":
        from edvr_cli.ops.cpu.deform_conv import deform_conv2d_packed_compiled  # noqa: PLC0415

        return deform_conv2d_packed_compiled(x, packed, weight, bias, negative_slope)
    convolve = fallback.deform_conv2d_torchvision if name == "torchvision" else fallback.deform_conv2d_in_strips
    y = convolve(x, offset, mask.sigmoid(), weight, bias)
    return y if negative_slope == 1.0 else F.leaky_relu(y, negative_slope)


def _packed_by_triton(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None, negative_slope: float) -> Tensor:
    from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton  # noqa: PLC0415 (triton is optional)

    return deform_conv2d_packed_triton(x, packed, weight, bias, negative_slope)


def _trained_by_triton(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None, negative_slope: float) -> Tensor:
    from edvr_cli.ops.triton.deform_conv_grad import deform_conv2d_packed_trained_triton  # noqa: PLC0415

    return deform_conv2d_packed_trained_triton(x, packed, weight, bias, negative_slope)


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

    The fastest that works on their device. Triton's and the compiled kernel have no backward: training takes, for the
    packed form, kernels of its own (:func:`training_kernel`), otherwise torchvision's where it is installed on a GPU's
    default stream, and the reference elsewhere.
    """
    tensors = [x, *(t for t in others if t is not None)]
    trains = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if x.is_cuda:
        if any(t.device != x.device or t.dtype not in _KERNEL_TYPES for t in tensors):
            return "reference"
        if not trains and not missing_kernel(x.device):
            return "triton"
        return "torchvision" if fallback.torchvision_serves(x.device) else "reference"
    alike = all(t.device.type == "cpu" and t.dtype == x.dtype for t in tensors)
    if alike and not trains and x.dtype in _COMPILED_TYPES and numba_fault() is None:
        return "compiled"
    return "reference"


def training_kernel(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None) -> str:
    """Name the kernels with a way back for the packed form of these tensors: ``"triton"``, ``"compiled"`` or ``""``.

    They take groups a power of two wide. "" also where no gradient is wanted.
    """
    tensors = [t for t in (x, packed, weight, bias) if t is not None]
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors):
        return ""
    _, C, H, W = x.shape
    pairs = packed.shape[1] // 3
    width = C * weight.shape[-1] ** 2 // pairs
    if width & (width - 1) or any(t.device != x.device for t in tensors):
        return ""
    if x.is_cuda:
        small = H * W * pairs * max(width, 3) < 2**31  # the samples of an image within 32-bit indexes
        known = all(t.dtype in _KERNEL_TYPES for t in tensors)
        return "triton" if small and known and triton_fault(x.device, TRAINING_KERNEL) is None else ""
    compiled = (
        x.device.type == "cpu"
        and bias is not None
        and all(t.dtype in _COMPILED_TYPES for t in tensors)
        and numba_fault() is None
    )
    return "compiled" if compiled else ""


def missing_kernel(device: torch.device) -> str:
    """Why ``device`` has no kernel for this operation, in a few words; "" where it has one.

    Without one it takes several times as long.
    """
    if device.type == "cpu":
        fault = numba_fault()
        return fault.reason if fault else ""
    if device.type != "cuda":
        return f"there is none for {device.type}"
    fault = triton_fault(device, KERNEL)
    return fault.reason if fault else ""


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
