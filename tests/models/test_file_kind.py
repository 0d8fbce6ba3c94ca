"""Files that should be checkpoints, and are something else."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edvr_cli.errors import ModelError
from edvr_cli.models.checkpoint import read_state_dict, save_model
from edvr_cli.models.library import add
from edvr_cli.models.registry import find_model
from tests.support.networks import random_network

EXAMPLES = int(os.environ.get("EDVR_FUZZ", "60"))
"""Of each fuzz test; by hand more."""


def saved(content: object, **options: object) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def safetensors(tmp_path: Path) -> bytes:
    """A whole file."""
    save_model(random_network(features=8, groups=2), tmp_path / "own.safetensors")
    return (tmp_path / "own.safetensors").read_bytes()


def deflated(tmp_path: Path) -> bytes:
    """A checkpoint whose parameters are a thousand times as large as the file."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved({"x": torch.zeros(1 << 20)}))) as whole,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for item in whole.infolist():
            small.writestr(item.filename, whole.read(item))
    return packed.getvalue()


class Exploit:
    """Would run a command."""

    def __reduce__(self):
        return os.system, ("true",)


KINDS: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "a web page": ("m.pth", lambda _: b"\n<!DOCTYPE html><html><title>Virus scan warning</title>", "a web page"),
    "a Git LFS pointer": ("m.pth", lambda _: b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "safetensors": ("m.pth", safetensors, r"safetensors under another name; call it m\.safetensors"),
    "a checkpoint": ("m.safetensors", lambda _: saved({}), r"PyTorch file under another name; call it m\.pth"),
    "cut short": ("m.pth", lambda _: saved({"x": torch.zeros(99)})[:-30], "cut short"),
    "safetensors cut short": ("m.safetensors", lambda path: safetensors(path)[:-1], "cut short"),
    "its header cut short": ("m.safetensors", lambda path: safetensors(path)[:100], "cut short"),
    "an archive": ("m.pth", lambda _: b"\x1f\x8b\x08\x00" + bytes(100), "a gzip archive; unpack it first"),
    "a zip archive": ("m.pth", lambda path: _zip(), "a zip archive; unpack it first"),
    "a picture": ("m.pth", lambda _: b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture"),
    "nothing": ("m.pth", lambda _: b"", "empty"),
    "code": ("m.pth", lambda _: pickle.dumps({"x": Exploit()}, 2), "could run code"),
    "code in a zip": ("m.pth", lambda _: saved({"x": Exploit()}), "could run code"),
    "a tar file": ("m.pth", lambda _: b"ustar" * 1000, "its content is not that of a checkpoint"),
    "quantized": (
        "m.pth",
        lambda _: saved({"x": torch.quantize_per_tensor(torch.zeros(2, 2), 0.1, 0, torch.qint8)}),
        "quantized",
    ),
    "sparse": ("m.pth", lambda _: saved({"x": torch.zeros(2, 2).to_sparse()}), "special kind"),
    "complex": ("m.pth", lambda _: saved({"x": torch.zeros(2, dtype=torch.complex64)}), "special kind"),
    "expanded": (
        "m.pth",
        lambda _: saved({"params": {"x": torch.zeros(1, dtype=torch.half).expand(2**34)}}),
        "a parameter of 34359738368 bytes has fewer stored",
    ),
    "compressed": ("m.pth", deflated, "compressed data"),
    "one storage many times": (
        "m.pth",
        lambda _: saved({f"x{n}": shared for shared in [torch.zeros(1 << 18)] for n in range(200)}),
        "many times its size",
    ),
}


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.pth", b"x")
    return file.getvalue()


@pytest.mark.parametrize(("name", "make", "words"), KINDS.values(), ids=KINDS)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, name: str, make: Callable[[Path], bytes], words: str):
    """In one line, with what to do, and never with PyTorch's advice to switch safety off."""
    (tmp_path / name).write_bytes(make(tmp_path))
    with pytest.raises(ModelError, match=rf"{name} is not a readable checkpoint: .*{words}") as caught:
        read_state_dict(tmp_path / name)
    assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A folder, and whole files by suffix."""
    folder = tmp_path_factory.mktemp("models")
    state = random_network(features=8, groups=2, tsa=False, levels=1, cascade=False, tail=4).state_dict()
    small = dict(list(state.items())[:6])
    legacy = saved(small, _use_new_zipfile_serialization=False)
    return folder, {".pth": saved({"params": small}), ".pt": legacy, ".safetensors": safetensors(folder)[:4000]}


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    suffix=st.sampled_from([".pth", ".pt", ".safetensors"]),
    cut=st.floats(0, 1),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    begins=st.binary(max_size=16),
)
def test_damaged_files_are_errors_or_checkpoints(samples, suffix: str, cut: float, edits: list, begins: bytes):
    """Whatever is in them."""
    folder, files = samples
    content = bytearray(files[suffix])
    for place, value in edits:
        content[int(place * len(content))] = value
    path = folder / f"fuzzed{suffix}"
    path.write_bytes(begins + bytes(content[: max(1, int(cut * len(content)))] if cut < 0.9 else content))
    try:
        state, _ = read_state_dict(path)
    except ModelError as error:
        assert "\n" not in str(error) and "weights_only" not in str(error)
    else:
        assert all(value.dtype == torch.float32 for value in state.values())


# --- Names


@pytest.mark.parametrize(
    ("name", "words"),
    [("x" * 300, "longer than 255 bytes"), ("\udcff", "not UTF-8"), ("\x1b[31m", "control characters")],
)
def test_a_name_that_no_file_can_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
):
    """Before anything is copied."""
    monkeypatch.setenv("EDVR_MODEL_DIR", str(tmp_path / "models"))
    save_model(random_network(features=8, groups=2), tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=words):
        add(tmp_path / "a.safetensors", name=name)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["x" * 300, f"{'x' * 300}.pth", "~nobody-has-this-name/x.pth"])
def test_a_model_that_cannot_be_there_is_not_there(name: str):
    """It is no error of the system's."""
    with pytest.raises(ModelError, match=r"does not exist|unknown model"):
        find_model(name)
