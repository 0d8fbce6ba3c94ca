"""Models known by name, and the folders that are searched for their files."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from edvr_cli.errors import ModelError, wrong_usage
from edvr_cli.network.windows import Padding
from edvr_cli.system.user_folders import data_folder

__all__ = [
    "MODELS",
    "ModelEntry",
    "Task",
    "default_model",
    "find_model",
    "lineage_of",
    "model_folders",
    "unknown_model",
]

Task = Literal["sr", "deblur"]
"""``sr`` enlarges ×4, ``deblur`` keeps the size."""


@dataclass(frozen=True)
class ModelEntry:
    """A model known by name."""

    name: str
    file: str
    task: Task
    padding: Padding
    sha256: str  # all 64 hexadecimal digits, or the first 8 where the publisher gives no more
    summary: str
    parameters: int = 0
    quality: str = ""  # PSNR (RGB, if not Y) and the test set; the publisher's figure where the model is not ours
    license: str = "Apache-2.0"
    google_drive: str = ""  # file id
    address: str = ""
    shipped: bool = False
    clean: str = ""  # the model for clean video of which this one, for compressed video, was trained on

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return 4 if self.task == "sr" else 1

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the file is published, the best place first; below EDVR_MODEL_URL alone, if that is set."""
        if mirror := os.environ.get("EDVR_MODEL_URL"):
            return (f"{mirror.rstrip('/')}/{self.file}",)
        drive = f"{_DRIVE}?export=download&confirm=t&id={self.google_drive}" if self.google_drive else ""
        return tuple(address for address in (self.address, drive) if address)


_LONGEST_NAME = 255  # bytes of a file's name
_DRIVE = "https://drive.usercontent.google.com/download"
_CCCV = "https://github.com/EutropicAI/cccv/releases/download/model_zoo/"

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            "edvr-s-x4-real",
            "edvr-s-x4-real.safetensors",
            "sr",
            "reflection_circle",
            "",
            "×4, small enough for a CPU, for compressed video",
            parameters=952_131,
            quality="23.19 dB Vid4 Y after x264 CRF 23",
            shipped=True,
            clean="edvr-s-x4",
        ),
        ModelEntry(
            "edvr-s-x4",
            "edvr-s-x4.safetensors",
            "sr",
            "reflection_circle",
            "",
            "×4, small enough for a CPU, for clean video",
            parameters=952_131,
            quality="25.05 dB Vid4 Y",
            shipped=True,
        ),
        ModelEntry(
            "edvr-m-x4",
            "edvr-m-x4.safetensors",
            "sr",
            "reflection_circle",
            "",
            "×4, for a GPU, for clean video",
            parameters=6_623_651,
            quality="25.81 dB Vid4 Y",
            shipped=True,
        ),
        ModelEntry(
            "edvr-s-deblur",
            "edvr-s-deblur.safetensors",
            "deblur",
            "reflection",
            "",
            "motion deblurring, small enough for a CPU",
            parameters=1_138_147,
            quality="+1.7 dB on synthetic blur",
            shipped=True,
        ),
        ModelEntry(
            "edvr-m-x4-reds",
            "EDVR_M_x4_SR_REDS_official-32075921.pth",
            "sr",
            "reflection_circle",
            "32075921635eb07d56c83ec4009341bd82d882900ca7043f9c51cc7951033efd",
            "published M, ×4, REDS",
            parameters=3_300_131,
            quality="30.53 dB REDS4",
            google_drive="1dd6aFj-5w2v08VJTq5mS9OFsD-wALYD6",
            address=_CCCV + "EDVR_M_SR_REDS_official_4x.pth",
        ),
        ModelEntry(
            "edvr-m-wotsa-x4-reds",
            "EDVR_M_woTSA_x4_SR_REDS_official-1edf645c.pth",
            "sr",
            "reflection_circle",
            "1edf645c117ba34ea1c7fcf5506079cf9dd361c2bd26b6f3cad9197a0ba7adbf",
            "published M without TSA, ×4, REDS",
            parameters=2_996_259,
            google_drive="1C_WdN-NyNj-P7SOB5xIVuHl4EBOwd-Ny",
            address=_CCCV + "EDVR_M_woTSA_SR_REDS_official_4x.pth",
        ),
        ModelEntry(
            "edvr-l-x4-reds",
            "EDVR_L_x4_SR_REDS_official-9f5f5039.pth",
            "sr",
            "reflection_circle",
            "9f5f5039",
            "published L, ×4, REDS",
            parameters=20_633_827,
            quality="31.09 dB REDS4",
            google_drive="127KXEjlCwfoPC1aXyDkluNwr9elwyHNb",
        ),
        ModelEntry(
            "edvr-l-x4-vimeo90k",
            "EDVR_L_x4_SR_Vimeo90K_official-162b54e4.pth",
            "sr",
            "reflection_circle",
            "162b54e4",
            "published L, ×4, Vimeo90K, windows of 7 frames",
            parameters=20_699_363,
            quality="27.35 dB Vid4 Y",
            google_drive="1aVR3lkX6ItCphNLcT7F5bbbC484h4Qqy",
        ),
        ModelEntry(
            "edvr-l-x4-srblur-reds",
            "EDVR_L_x4_SRblur_REDS_official-983d7b8e.pth",
            "sr",
            "replicate",
            "983d7b8e",
            "published L, ×4 of blurred video, REDS",
            parameters=23_306_851,
            quality="28.88 dB REDS4, blurred",
            google_drive="1GZz_87ybR8eAAY3X2HWwI3L6ny7-5Yvl",
        ),
        ModelEntry(
            "edvr-l-deblur-reds",
            "EDVR_L_deblur_REDS_official-ca46bd8c.pth",
            "deblur",
            "replicate",
            "ca46bd8c",
            "published L, motion deblurring, REDS",
            parameters=23_602_019,
            quality="34.80 dB REDS4, blurred",
            google_drive="1_ma2tgHscZtkIY2tEJkVdU-UP8bnqBRE",
        ),
        ModelEntry(
            "edvr-l-deblurcomp-reds",
            "EDVR_L_deblurcomp_REDS_official-0e988e5c.pth",
            "deblur",
            "replicate",
            "0e988e5c",
            "published L, deblurring of compressed video, REDS",
            parameters=23_602_019,
            quality="30.24 dB REDS4, blurred, compressed",
            google_drive="1fEoSeLFnHSBbIs95Au2W197p8e4ws4DW",
        ),
    )
}


def default_model(task: Task) -> str:
    """Name of the shipped model for ``task``; ModelError where none ships."""
    for entry in MODELS.values():
        if entry.shipped and entry.task == task:
            return entry.name
    published = ", ".join(e.name for e in MODELS.values() if e.task == task)
    raise ModelError(
        f"no {task} model ships with this version (published: {published}; folder for models: {model_folders()[-1]})",
        hint="model",
    )


def lineage_of(name: str) -> tuple[str, str]:
    """The models for clean and for compressed video of one lineage, whose parameters correspond: ``name`` is either.

    Raises ModelError where ``name`` is neither, or a file.
    """
    for entry in MODELS.values():
        if entry.clean and name in (entry.clean, entry.name):
            return entry.clean, entry.name
    pairs = ", ".join(f"{entry.clean} and {entry.name}" for entry in MODELS.values() if entry.clean)
    raise ModelError(
        f"{name} has no counterpart for more or less compressed video, as {pairs} are to each other",
        hint="denoise",
        wrong_usage=True,
    )


def model_folders() -> list[Path]:
    """Where models are looked for: shipped with the package, then EDVR_MODEL_DIR or the user's data folder."""
    package = Path(__file__).resolve().parent
    shipped = package / "data"  # in a wheel
    if not shipped.is_dir():
        shipped = package.parents[1] / "weights"  # in a checkout
    own = os.environ.get("EDVR_MODEL_DIR")
    return [shipped, Path(own).expanduser() if own else data_folder() / "models"]


@wrong_usage()
def find_model(name_or_path: str | Path) -> Path:
    """The file of a model given by name or path; ModelError says what is missing and how to get it."""
    name = str(name_or_path)
    path = _as_path(name_or_path)
    if path.is_file():
        return path
    entry = MODELS.get(name)
    files = [entry.file] if entry else [f"{name}.safetensors", f"{name}.pth"]
    for folder in model_folders():
        for file in files:
            if (folder / file).is_file():
                return folder / file
    if entry:
        raise ModelError(
            f"model {name!r} is not on this machine: fetch it by `edvr models pull {name}`, "
            f"or put {entry.file} into {model_folders()[-1]}"
        )
    if path.suffix or os.sep in name:
        raise ModelError(f"model file {name} does not exist")
    raise unknown_model(name)


def _as_path(name: str | Path) -> Path:
    """A name as a path. Raises ModelError for one that no file can have."""
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in Path(name).parts):
        raise ModelError(f"model file {str(name)[:60]}... does not exist: names have {_LONGEST_NAME} bytes at most")
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~ and the name of somebody who is not there
        return Path(name)


def unknown_model(name: str) -> ModelError:
    """The error that names the nearest known model."""
    nearest = get_close_matches(name, MODELS, n=1)
    longer = sorted((known for known in MODELS if known.startswith(name.lower())), key=len)
    meant = [*longer, *nearest]
    hint = f"did you mean {meant[0]!r}?" if meant else f"known: {', '.join(MODELS)}"
    return ModelError(f"unknown model {name!r}: {hint}", wrong_usage=True)
