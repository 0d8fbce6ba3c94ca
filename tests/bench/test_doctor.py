"""What the doctor sees, and what it says of faults."""

import json

import pytest
import torch

from edvr_cli.bench import doctor
from edvr_cli.bench.doctor import diagnose
from edvr_cli.cli import main
from edvr_cli.errors import DeviceError
from edvr_cli.network.model import Model
from edvr_cli.size import Size
from tests.support.networks import random_network


@pytest.fixture(scope="module")
def diagnosis():
    """Of this machine, without the speed test."""
    return diagnose(speed=False)


def test_the_machine_is_described(diagnosis):
    """Versions, the processor with its checked operation, encoders, models."""
    assert diagnosis.versions["torch"] == torch.__version__
    cpu = diagnosis.devices[-1]
    assert cpu.device == "cpu"
    assert cpu.operation in ("compiled", "reference")
    assert cpu.checked["fp32"] == ""
    assert "libx264" in diagnosis.video.encoders
    assert "edvr-s-x4" in diagnosis.models


def test_a_device_that_computes_wrongly_is_found(monkeypatch):
    """With what still works; the verdict is not healthy."""

    def broken(device: torch.device, dtype: torch.dtype) -> str:
        if dtype != torch.float32:
            raise DeviceError("computes wrongly")
        return "compiled"

    monkeypatch.setattr(doctor, "check_operation", broken)
    monkeypatch.setattr(doctor, "dtype_for", lambda word, _: torch.float32 if word == "fp32" else torch.bfloat16)
    found = diagnose(speed=False)
    assert not found.healthy
    assert ("computes wrongly", True) in [(f.what, "--precision fp32" in f.remedy) for f in found.findings]


def test_known_problems_have_remedies(monkeypatch):
    """Each finding names what to do."""
    monkeypatch.setattr(doctor, "_nvidia_driver", lambda: True)
    monkeypatch.setattr(doctor, "charts_available", lambda: False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = diagnose(speed=False)
    remedies = " ".join(finding.remedy for finding in found.findings)
    for part in ("pytorch.org", "edvr-cli[plot]", "unset it"):
        assert part in remedies
    assert all(finding.what and finding.remedy for finding in found.findings)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def test_the_command_prints_a_table_or_json(diagnosis, monkeypatch, capsys):
    """Exit 1 where something is wrong."""
    monkeypatch.setattr("edvr_cli.bench.doctor.diagnose", lambda **_: diagnosis)
    expected = 0 if diagnosis.healthy else 1
    assert run("doctor") == expected
    assert "libx264" in capsys.readouterr().out
    assert run("doctor", "--json") == expected
    assert json.loads(capsys.readouterr().out)["versions"]["torch"] == torch.__version__


def test_the_environment_in_a_bug_report_holds_no_secrets(monkeypatch):
    """Only variables known to matter; an address may hold a password."""
    monkeypatch.setenv("EDVR_MODEL_URL", "https://user:secret@example.invalid")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "secret" not in json.dumps(diagnose(speed=False).environment)


def test_the_speed_names_the_model_that_was_measured(monkeypatch):
    """Whichever is the default."""
    model = Model.of(random_network(), name="measured")
    monkeypatch.setattr(doctor, "load_model", lambda name, device: model)
    monkeypatch.setattr(doctor, "_SPEED_SIZE", Size(16, 8))
    speed = doctor._speed(torch.device("cpu"))
    assert speed is not None and (speed.model, speed.size) == ("measured", (16, 8))
