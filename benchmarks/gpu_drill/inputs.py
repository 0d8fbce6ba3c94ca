"""What the drill works on: networks, windows, arguments of the operations, and exact results to compare with."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.bench.network import clip, random_network
from edvr_cli.bench.sizes import SIZES
from edvr_cli.network.edvr import EDVR, DeformConv
from edvr_cli.network.windows import Window, windows
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference

SLOPE = 0.1
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def network(name: str, device: torch.device) -> EDVR:
    """S, M or L with random weights whose offsets move."""
    torch.manual_seed(0)
    return random_network(SIZES[name.lower()]).to(device)


def inner_windows(count: int, width: int, height: int, device: torch.device, T: int = 5) -> list[Window[Tensor]]:
    """Neighboring windows far from a shot's ends: each has one frame that its predecessor has not."""
    frames = [(frame.to(device), False) for frame in clip(T + count - 1, width, height)]
    return [window for window in windows(frames, T, "replicate") if len(set(window.indices)) == T]


def deform_arguments(
    N: int, C: int, H: int, W: int, dtype: torch.dtype, device: torch.device, *, seed: int = 0, reach: float = 2.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, packed, weight, bias; offsets of a few pixels that vary smoothly, with noise of half a pixel."""
    random = partial(torch.randn, generator=torch.Generator(device).manual_seed(seed), device=device)
    pairs = 8 * 9
    offset = F.interpolate(random(N, 2 * pairs, -(-H // 16), -(-W // 16)) * reach, (H, W), mode="bilinear")
    packed = torch.cat((offset + random(N, 2 * pairs, H, W) / 2, random(N, pairs, H, W)), dim=1)
    weight = random(C, C, 3, 3) / (9 * C) ** 0.5
    last = {"memory_format": torch.channels_last}
    x, packed, weight = (t.to(dtype).contiguous(**last) for t in (random(N, C, H, W), packed, weight))
    return x, packed, weight, random(C).to(dtype)


def exact_network(model: EDVR) -> EDVR:
    """The model with the definition of its deformable convolution, whatever the device has."""
    for module in model.modules():
        if isinstance(module, DeformConv):
            module.forward = partial(_by_definition, module)  # type: ignore[method-assign]
    return model


def _by_definition(module: DeformConv, x: Tensor, offset_features: Tensor, negative_slope: float = 1.0) -> Tensor:
    packed = module.conv_offset(offset_features)
    return deform_conv2d_packed_reference(x, packed, module.weight, module.bias, negative_slope)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether torch may multiply float32 in TF32, in convolutions and matrix products."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32, matmul.allow_tf32 = allowed, allowed
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def relative(result: Tensor, exact: Tensor) -> float:
    """‖result − exact‖ / ‖exact‖."""
    return float((result.double() - exact.double()).norm() / exact.double().norm())
