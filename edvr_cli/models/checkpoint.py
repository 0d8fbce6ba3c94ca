"""Checkpoint files: read them, and build the network that their parameters describe."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast, get_args

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from edvr_cli.errors import DeviceError, ModelError, reason_of
from edvr_cli.models.blending import blend_into
from edvr_cli.models.file_kind import check_file, check_tensors, why_not_loaded
from edvr_cli.models.key_names import is_counter, published_key
from edvr_cli.models.registry import MODELS, ModelEntry, find_model, lineage_of
from edvr_cli.network.config import MAX_SHARPEN
from edvr_cli.network.edvr import EDVR, EDVRConfig
from edvr_cli.network.model import Model
from edvr_cli.network.windows import PADDINGS, Padding
from edvr_cli.system.files import sha256_of, write_file
from edvr_cli.system.hardware import resolve_device
from edvr_cli.system.text import first_line

__all__ = ["config_of", "load_model", "read_state_dict", "save_model"]


def load_model(
    name_or_path: str | Path,
    device: str | torch.device = "auto",
    *,
    padding: Padding | None = None,
    denoise: float | None = None,
) -> Model:
    """Load a model by name or from a ``.pth`` or ``.safetensors`` file, ready to restore: on ``device``, eval mode.

    The file decides the architecture. ``padding`` overrides the window padding that the file or the registry states.
    ``denoise`` chooses a network between the models for clean (0) and for compressed video (1) of the lineage that the
    name belongs to. Raises ModelError for a name or file that is unknown, damaged, or no EDVR network, or has no such
    lineage, DeviceError for a device that is not there.
    """
    if denoise is not None:
        return _load_between(*lineage_of(str(name_or_path)), denoise, device, padding)
    path = find_model(name_or_path)
    entry = _entry_of(name_or_path, path)
    state, recipe = read_state_dict(path)
    network = _build(state, path)
    stated = recipe.get("padding") or (entry and entry.padding)
    if padding is None and stated:
        padding = _padding(stated, path)
    name = str(recipe.get("name") or (entry and entry.name) or path.stem)
    if str(device).split(":")[0] == "meta":
        raise DeviceError(f"device {str(device)!r} cannot compute: choose cpu, cuda or mps")
    try:
        network.to(resolve_device(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {str(device)!r} cannot be used here: {first_line(error)}") from error
    return Model.of(network, padding=padding, name=name, sharpen=_sharpen(recipe.get("sharpen", "0"), path))


def _load_between(clean: str, real: str, share: float, device: str | torch.device, padding: Padding | None) -> Model:
    if share in (0, 1):
        return load_model(real if share else clean, device, padding=padding)
    model = blend_into(load_model(clean, device, padding=padding), load_model(real, device, padding=padding), share)
    return replace(model, name=f"{real} with denoise {share:g}")


def save_model(model: Model | EDVR, path: str | Path, *, dtype: torch.dtype = torch.float16, **recipe: str) -> None:
    """Write ``model`` as safetensors with its padding, sharpening and ``recipe`` (name, task, ...) as metadata."""
    model = Model.of(model)
    state = {key: value.detach().cpu().to(dtype).contiguous() for key, value in model.network.state_dict().items()}
    metadata = {
        "format": "pt",
        "padding": model.padding,
        "config": json.dumps(asdict(model.config)),
        **({"sharpen": f"{model.sharpen:g}"} if model.sharpen else {}),
        **recipe,
    }
    write_file(Path(path), save(state, metadata))  # safetensors' writer makes files that only their owner may read


def read_state_dict(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Parameters of a checkpoint under their published names, as float32, and the metadata of the file.

    Takes off every known wrapper (``params_ema``, ``params``, ``state_dict``) and prefix (``module.``,
    ``generator.``), and renames other lineages' keys (:mod:`edvr_cli.models.key_names`). Never runs code from the file.
    """
    metadata: dict[str, str] = {}
    try:
        check_file(path)
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                content: object = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        else:
            with warnings.catch_warnings(action="ignore"):  # of what is deprecated in somebody's file
                content = torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error)}") from error
    except Exception as error:  # Over junk the two libraries raise whatever they come upon.
        raise ModelError(f"{path} is not a readable checkpoint: {why_not_loaded(error)}") from error
    for wrapper in ("params_ema", "params", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    state = {str(k): v for k, v in content.items()} if isinstance(content, Mapping) else {}
    tensors = {published_key(k): v for k, v in state.items() if isinstance(v, Tensor) and not is_counter(k)}
    check_tensors(tensors.values(), path)
    state = {key: value.float() for key, value in tensors.items()}
    if not state:
        raise ModelError(f"{path} holds no network parameters")
    return state, metadata


def config_of(state: Mapping[str, Tensor]) -> EDVRConfig:
    """The dimensions of the EDVR network that ``state`` belongs to.

    Raises ValueError, with the first reason found, where it is another network.
    """
    tsa = "fusion.feat_fusion.weight" in state
    predeblur = "predeblur.conv_first.weight" in state
    features, *_ = _shape(state, "predeblur.conv_first.weight" if predeblur else "conv_first.weight")
    fusion = "fusion.feat_fusion.weight" if tsa else "fusion.weight"
    _, fusion_inputs, *_ = _shape(state, fusion)
    offsets = "pcd_align.dcn_pack.l1.conv_offset.weight"
    offset_channels, *_ = _shape(state, offsets)
    tail, *_ = _shape(state, "conv_hr.weight")
    frames, groups = fusion_inputs // features, offset_channels // 27
    if frames % 2 == 0:
        raise ValueError(f"its {fusion!r} takes {frames} frames, and an even number has no middle frame")
    if groups == 0 or features % groups:
        raise ValueError(f"its {offsets!r} is for {groups} groups of {features} features")
    return EDVRConfig(
        features=features,
        frames=frames,
        groups=groups,
        extraction_blocks=_count(state, "feature_extraction"),
        reconstruction_blocks=_count(state, "reconstruction"),
        tail=tail,
        predeblur=predeblur,
        hr_in="predeblur.stride_conv_hr1.weight" in state,
        tsa=tsa,
        cascade="pcd_align.cas_dcnpack.weight" in state,
        levels=3 if "conv_l2_1.weight" in state else 1,
    )


def _shape(state: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    """The shape of a convolution's weight."""
    if key not in state:
        raise ValueError(f"it has no parameter {key!r}")
    shape = tuple(state[key].shape)
    if len(shape) != 4 or 0 in shape:
        raise ValueError(f"its {key!r} {shape} is not the weight of a convolution")
    return shape


class _NoInit(TorchFunctionMode):
    """Leaves out the first random weights, for which torch would load its compiler on the meta device."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``function`` unless it draws numbers."""
        return args[0] if function in (Tensor.normal_, Tensor.uniform_) else function(*args, **(kwargs or {}))


def _build(state: dict[str, Tensor], path: Path) -> EDVR:
    try:
        config = config_of(state)
    except ValueError as error:
        raise ModelError(f"{path} is not an EDVR checkpoint: {error}") from error
    with torch.device("meta"), _NoInit():
        model = EDVR(config)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    problems = [
        *_first("missing", sorted(expected.keys() - found.keys())),
        *_first("unexpected", sorted(found.keys() - expected.keys())),
        *_first(
            "of the wrong shape",
            [
                f"{k} {found[k]} for {expected[k]}"
                for k in sorted(expected.keys() & found.keys())
                if expected[k] != found[k]
            ],
        ),
    ]
    if problems:
        raise ModelError(f"{path} does not fit the network it describes: {'; '.join(problems)}")
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False)


def _first(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"{what}: {', '.join(names[:3])}{more}"]


def _count(state: Mapping[str, Tensor], stack: str) -> int:
    """How many blocks a stack has by their numbers, of which those in between may be missing."""
    numbers = {int(m[1]) for key in state if (m := re.match(rf"{stack}\.(\d+)\.", key))}
    highest = max(numbers, default=-1)
    # A number beyond that of all parameters is not a block: a file must not cause a billion of them.
    return highest + 1 if highest < len(state) else len(numbers)


def _padding(stated: object, path: Path) -> Padding:
    if stated not in PADDINGS:
        raise ModelError(f"{path} asks for window padding {stated!r}; known are {', '.join(get_args(Padding))}")
    return cast(Padding, stated)


def _sharpen(stated: str, path: Path) -> float:
    try:
        amount = float(stated)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= MAX_SHARPEN:
        raise ModelError(f"{path} asks for sharpening by {stated!r}; expected a number from 0 to {MAX_SHARPEN:g}")
    return amount


def _entry_of(name_or_path: str | Path, path: Path) -> ModelEntry | None:
    """The table's entry for a file: by name, or by the digest of its content.

    A file found by name must have the digest that the table gives; ModelError otherwise.
    """
    entry = MODELS.get(str(name_or_path))
    if entry and not entry.sha256:
        return entry
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error)}") from error
    if entry and not digest.startswith(entry.sha256):
        raise ModelError(f"{path} is damaged: its sha256 is {digest}, not {entry.sha256}…; download it again")
    return entry or next((e for e in MODELS.values() if e.sha256 and digest.startswith(e.sha256)), None)
