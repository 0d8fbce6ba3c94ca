"""``edvr models``: what it lists, fetches, checks, takes in and writes."""

import hashlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edvr_cli.cli import main
from edvr_cli.cli.fetch import available
from edvr_cli.cli.model_choice import ModelChoice
from edvr_cli.errors import DownloadError, ModelError, OutputError
from edvr_cli.models import registry as models
from edvr_cli.models.checkpoint import load_model, save_model
from edvr_cli.models.library import add, convert, describe, list_models, pull
from edvr_cli.network.model import Model
from tests.support.errors import raises
from tests.support.networks import random_network
from tests.support.server import serving

NAME = "edvr-m-x4-reds"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A tiny network in the published form."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    torch.save({"params": random_network().state_dict()}, path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The user's folder, empty."""
    monkeypatch.setenv("EDVR_MODEL_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def published(checkpoint, folder, monkeypatch):
    """A server that publishes the tiny network as ``NAME``."""
    content = checkpoint.read_bytes()
    entry = replace(models.MODELS[NAME], sha256=hashlib.sha256(content).hexdigest()[:8])
    monkeypatch.setitem(models.MODELS, NAME, entry)
    with serving({entry.file: content}) as server:
        monkeypatch.setenv("EDVR_MODEL_URL", server.address + "/")
        yield server


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def test_the_list_has_every_model_and_those_in_the_folder(folder, checkpoint, capsys):
    """Names, and where each is; as JSON for scripts."""
    add(checkpoint, name="mine")
    assert run("models") == 0
    table = capsys.readouterr().out
    assert all(name in table for name in (*models.MODELS, "mine"))
    assert run("models", "list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["edvr-s-x4"]["shipped"]
    assert rows[NAME]["path"] is None
    assert rows["mine"]["path"] == str(folder / "mine.pth")


def test_pulled_models_load_by_name(published, folder, capsys):
    """The path is the result; a second time nothing is fetched."""
    assert run("models", "pull", NAME) == 0
    printed = capsys.readouterr()
    assert Path(printed.out.strip()).parent == folder
    assert "checked" in printed.err
    assert load_model(NAME).name == NAME
    assert pull(NAME) == Path(printed.out.strip())
    assert len(published.requests) == 1


def test_what_cannot_be_pulled_names_the_remedies(published, folder):
    """The server's answer, the folder, and the variable."""
    published.files.clear()
    with pytest.raises(DownloadError, match=rf"404.*into {folder} by hand, or set EDVR_MODEL_URL"):
        pull(NAME)


def test_every_published_model_has_an_address_and_a_digest():
    """Google Drive's after GitHub's, and a mirror instead of both."""
    for entry in models.MODELS.values():
        if not entry.shipped:
            assert entry.addresses == entry.published_at and "google.com" in entry.addresses[-1]
            assert len(entry.sha256) in (8, 64)
            assert entry.parameters


def test_a_wrong_name_suggests_the_nearest(folder, capsys):
    """In every command that takes one."""
    for command in ("pull", "info", "verify"):
        assert run("models", command, "edvr-m-x4-red") == (1 if command == "verify" else 2)
        assert "edvr-m-x4-reds" in capsys.readouterr().err


def test_verify_tells_good_from_damaged(published, folder, capsys):
    """All that are here without a name; exit 1 if one is bad."""
    path = pull(NAME)
    assert run("models", "verify") == 0
    path.write_bytes(path.read_bytes()[:-1])
    assert run("models", "verify") == 1
    printed = capsys.readouterr().err
    assert "edvr-s-x4" in printed
    assert "is damaged" in printed


def test_added_files_are_used_by_name(folder, checkpoint, published):
    """A published file under any name becomes what it is; junk is refused; names are not taken twice."""
    assert add(checkpoint) == (NAME, folder / models.MODELS[NAME].file)
    other = folder.parent / "other.safetensors"
    save_model(random_network(1), other)
    assert add(other, name="mine") == ("mine", folder / "mine.safetensors")
    assert load_model("mine").config == random_network().config
    assert add(other, name="mine")[0] == "mine"  # the same again is no conflict
    third = folder.parent / "third.pth"
    torch.save(random_network(2).state_dict(), third)
    with raises(OutputError, "another model", hint="overwrite"):
        add(third, name="mine")
    add(third, name="mine", overwrite=True)
    assert [m.path.name for m in list_models() if m.name == "mine"] == ["mine.pth"]
    with pytest.raises(ModelError, match="is the name of a published model"):
        add(third, name="edvr-l-x4-reds")
    (folder.parent / "junk.pth").write_bytes(b"junk")
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        add(folder.parent / "junk.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_conversion_keeps_every_parameter(tmp_path, checkpoint, suffix):
    """Exactly, in either direction; never over an existing file."""
    target = tmp_path / f"out{suffix}"
    convert(checkpoint, target)
    back = load_model(target).network
    for key, value in load_model(checkpoint).network.state_dict().items():
        assert torch.equal(value, back.state_dict()[key])
    with pytest.raises(OutputError, match="exists"):
        convert(checkpoint, target)
    with pytest.raises(OutputError, match="must be named"):
        convert(checkpoint, tmp_path / "out.onnx")


@pytest.mark.usefixtures("gpu_by_default")
def test_conversion_keeps_the_window_padding_and_halves_on_request(tmp_path):
    """Which the safetensors' metadata hold."""
    model = random_network()
    save_model(Model.of(model, padding="circle"), tmp_path / "a.safetensors", dtype=torch.float32, task="sr", name="a")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", half=True)
    assert load_model(tmp_path / "b.safetensors").padding == "circle"
    assert load_model(tmp_path / "b.safetensors").name == "a"
    assert (tmp_path / "b.safetensors").stat().st_size < 0.6 * (tmp_path / "a.safetensors").stat().st_size


@pytest.mark.usefixtures("gpu_by_default")
def test_a_blend_lies_between_two_networks_of_one_kind(tmp_path, capsys):
    """By its share, and is loaded by its own name; other kinds and existing files are refused."""
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for seed, path in enumerate(paths):
        save_model(random_network(seed), path, dtype=torch.float32, task="sr", name=path.stem)
    target = tmp_path / "between.safetensors"
    assert run("models", "blend", *paths, target, "--share", 0.25) == 0
    assert capsys.readouterr().out.strip() == str(target)
    first, second, between = (load_model(path, "cpu").network.state_dict() for path in (*paths, target))
    for key, value in between.items():
        assert torch.allclose(value, 0.75 * first[key] + 0.25 * second[key], atol=2e-3)
    assert load_model(target).name == "between"
    assert run("models", "blend", *paths, target) == 1
    assert "exists" in capsys.readouterr().err
    save_model(random_network(2, tsa=False), paths[1], task="sr", name="b")
    assert run("models", "blend", *paths, tmp_path / "c.safetensors") == 1
    assert "different networks" in capsys.readouterr().err


def test_info_tells_the_dimensions_of_what_is_here(folder, checkpoint, capsys):
    """And where to get what is not."""
    assert describe(str(checkpoint))["features"] == 16
    assert run("models", "info", "edvr-l-x4-reds") == 0
    assert "edvr models pull edvr-l-x4-reds" in capsys.readouterr().out
    assert run("models", "info", "edvr-s-x4", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == models.MODELS["edvr-s-x4"].parameters


class Terminal(io.StringIO):
    """Standard input at a terminal, with what is typed."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.fixture
def use(tmp_path):
    """Use a published model on a file that is not a video, which is found out later; gives the exit code."""
    (tmp_path / "in.mp4").write_bytes(b"no video")
    return lambda *options: run("upscale", tmp_path / "in.mp4", tmp_path / "out.mp4", "--model", NAME, *options)


def test_a_model_that_is_not_here_is_fetched_with_pull_or_y(published, folder, use, capsys):
    """Once; without them and without a terminal, the error says how."""
    assert use() == 1
    said = capsys.readouterr().err
    assert "--pull" in said and f"edvr models pull {NAME}" in said
    assert "about 13 MB, license Apache-2.0, from 127.0.0.1" in said
    assert not published.requests and not list(folder.glob("*"))
    for option in ("--pull", "-y"):
        assert use(option) == 1
        assert f"{NAME}: checked" in capsys.readouterr().err or option == "-y"
    assert len(published.requests) == 1
    assert load_model(NAME).name == NAME


@pytest.mark.parametrize(("answer", "fetched"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_the_user_is_asked(published, use, monkeypatch, capsys, answer: str, fetched: bool):
    """With size, license and where it comes from; no means nothing is done."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert use() == (1 if fetched else 130)
    said = capsys.readouterr().err
    assert "about 13 MB, license Apache-2.0, from 127.0.0.1" in said and "Fetch it? [y/N]" in said
    assert (len(published.requests) == 1) is fetched


def test_models_that_ship_and_files_are_never_fetched(published, checkpoint):
    """Nor is a file that has a published model's name."""
    for name in ("edvr-s-x4", str(checkpoint), "no-such-model"):
        assert available(name, agreed=True) == name
    assert not published.requests


def test_the_default_is_that_of_the_device_that_auto_comes_to(monkeypatch: pytest.MonkeyPatch):
    """The small model on a CPU, beside which the larger one can be shown; none beside one that was chosen."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    choice = ModelChoice(None, None, pull=False, device="auto")
    for task, small, large in (
        ("sr", "edvr-s-x4-real", "edvr-m-x4-real"),
        ("deblur", "edvr-s-deblur", "edvr-m-deblur"),
    ):
        assert choice.load(task).name == small
        larger = choice.load_larger(task)
        assert larger is not None
        assert larger.name == large
    assert replace(choice, model="edvr-s-x4").load_larger("sr") is None
