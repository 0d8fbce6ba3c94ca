"""What is said of libraries that are missing, broken, or of another version than the program was made for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch

from edvr_cli.bench import rehearsal
from edvr_cli.bench.rehearsal import rehearse
from edvr_cli.system import installation
from edvr_cli.system.installation import Fault, first_fault, within

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("18.1.0", ">=18,<20", True),
        ("20.0.0", "<20,>=18", False),
        ("17.9", "<20,>=18", False),
        ("20.0.0rc1", "<20,>=18", False),
        ("2.13.0+cpu", "<3,>=2.6", True),
        ("2.5.1", "<3,>=2.6", False),
        ("0.68.1", "", True),
    ],
)
def test_versions_are_compared_by_number(version: str, wanted: str, fits: bool):
    assert within(version, wanted) is fits


def test_a_version_that_is_not_supported_is_named(monkeypatch):
    """With the range, and the command that brings it in."""
    monkeypatch.setattr(installation, "_supported", lambda: {"av": "<2,>=1"})
    fault = first_fault()
    assert fault is not None
    assert fault.what == f"av {av.__version__} is not supported, which must be <2,>=1"
    assert '"av<2,>=1"' in fault.remedy


def test_what_is_installed_here_is_supported():
    """By what pyproject.toml declares."""
    assert first_fault() is None


@pytest.mark.parametrize("as_json", [False, True])
def test_doctor_reports_a_library_that_does_not_import(tmp_path: Path, as_json: bool):
    """Without a traceback, although it needs that library itself."""
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text(
        'raise ImportError("libavformat.so.63: cannot open shared object file")', encoding="utf-8"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    command = [sys.executable, "-m", "edvr_cli", "doctor", *(["--json"] if as_json else [])]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    said = json.loads(run.stdout)["findings"][0]["what"] if as_json else run.stdout
    assert "av cannot be imported: libavformat.so.63: cannot open shared object file" in said
    assert as_json or "pip install --force-reinstall" in run.stdout


def test_other_commands_refer_to_the_doctor(tmp_path: Path):
    """In one sentence."""
    (tmp_path / "av.py").write_text("from nowhere import nothing", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    command = [sys.executable, "-m", "edvr_cli", "info", "in.mp4"]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "`edvr doctor` names what is broken" in run.stderr and "Traceback" not in run.stderr


def fault() -> Fault:
    """Of a rehearsal that must fail."""
    found = rehearse(CPU).fault
    assert found is not None
    return found


def test_a_pyav_with_another_interface_is_found_at_the_first_step_that_needs_it(monkeypatch):
    """As PyAV 19 was for programs made for 18: it imports, and refuses an argument."""
    real = av.open

    def changed(file: object, mode: str = "r", **options: object) -> object:
        if mode == "r":
            raise TypeError("open() got an unexpected keyword argument 'hwaccel'")
        return real(file, mode, **options)

    monkeypatch.setattr(av, "open", changed)
    found = fault()
    assert found.what.startswith("opening the video fails: TypeError: open() got an unexpected keyword")
    assert found.versions.startswith(f"av {av.__version__}, imageio-ffmpeg ")
    assert "'av>=18,<20'" in found.remedy


def test_a_damaged_model_is_found(monkeypatch, tmp_path: Path):
    """By the step that loads it."""
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(b"not a model")
    monkeypatch.setattr(rehearsal, "default_model", lambda task, device: str(damaged))
    found = fault()
    assert found.what.startswith(f"loading the model fails: {damaged}")
    assert "safetensors" in found.versions and "again" in found.remedy


def test_kernels_that_do_not_compile_are_found(monkeypatch):
    """Whatever numba raises."""

    def fails(*_: object) -> None:
        raise KeyError("LoweringError")

    monkeypatch.setattr(rehearsal, "restore_frames", fails)
    found = fault()
    assert found.what.startswith("restoring frames on cpu fails: KeyError")
    assert "numba 0." in found.versions
