"""What `edvr info` tells."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edvr_cli.cli import edvr
from edvr_cli.models.checkpoint import save_model
from tests.support.clips import make_clip
from tests.support.color_profile import profile
from tests.support.networks import random_network


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with all that Matroska holds."""
    return make_clip(
        tmp_path_factory.mktemp("clip") / "film.mkv",
        frames=8,
        pts=(0, 40, 80, 90, 200, 240, 280, 400),
        time_base=Fraction(1, 1000),
        audio=("flac", "libopus"),
        languages=("eng", "deu"),
        subtitles="subrip",
        chapters=True,
        attachment=True,
        sample_aspect_ratio=Fraction(4, 3),
        metadata={"title": "Film"},
    )


def info(*arguments: object) -> Result:
    """The command, which must succeed."""
    result = CliRunner().invoke(edvr, ["info", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_people_are_told_what_is_in_a_file(clip: Path):
    """Sizes, assumptions, streams, and that all of it stays."""
    text = " ".join(info(clip).stdout.split())
    for part in (
        "64×48, shown as 85×48 (pixel aspect ratio 4:3)",
        "untagged, by its size taken as matrix smpte170m, limited range",
        "variable (10 to 120 ms apart)",
        "progressive",
        "1 audio flac eng",
        "2 audio opus deu",
        "subtitle subrip deu, Untertitel",
        "restored: 256×192 libx264, yuv420p",
        "title=Film",
    ):
        assert part in text
    assert "dropped" not in text


def test_what_another_container_would_drop_is_told(clip: Path):
    """By a suffix, before anything is done."""
    text = " ".join(info(clip, "--to", ".mp4").stdout.split())
    assert "converted to mov_text" in text
    assert "dropped: mp4 does not hold it" in text
    assert [path.name for path in clip.parent.iterdir()] == ["film.mkv"]


def test_scripts_are_told_in_json(clip: Path):
    """All of it, with the fate of each stream."""
    facts = json.loads(info(clip, "--json", "--to", "out.mp4", "--scale", "2").stdout)
    assert facts["video"]["display_size"] == [85, 48]
    assert facts["video"]["variable"] is True
    assert facts["video"]["frames"] == 8
    assert facts["video"]["color"]["assumed"] is True
    assert (facts["output"]["width"], facts["output"]["codec"]) == (128, "libx264")
    assert {item["index"]: item["action"] for item in facts["streams"]} == {
        1: "copy",
        2: "copy",
        3: "convert",
        4: "drop",
    }
    assert facts["chapters"] == 2
    assert any("font" in warning or "Attachment" in warning for warning in facts["output"]["warnings"])


def test_what_the_work_would_take_is_told(clip: Path, tmp_path: Path):
    """Size, disk and memory at once, time when it is asked for: a few frames are restored then."""
    model = tmp_path / "tiny.safetensors"
    save_model(random_network(), model)
    text = " ".join(info(clip, "-n", model).stdout.split())
    for part in ("Output: about", "of disk space during the work", "for the network", "tiny on cpu", "--measure"):
        assert part in text
    facts = json.loads(info(clip, "-n", model, "--json").stdout)
    assert 0 < facts["output"]["size"] < facts["output"]["space"]
    assert facts["work"]["memory"] > 0
    assert facts["work"]["seconds"] is None
    measured = json.loads(info(clip, "-n", model, "-d", "cpu", "--measure", "--json").stdout)["work"]
    assert measured["seconds"] == pytest.approx(8 * measured["seconds_per_frame"]) != 0
    assert [path.name for path in clip.parent.iterdir()] == ["film.mkv"]


def test_the_plan_is_that_of_a_run_with_the_same_options(clip: Path, tmp_path: Path):
    """Precision, tiles, memory and the number of frames."""
    model = tmp_path / "tiny.safetensors"
    save_model(random_network(), model)
    options = ("-n", model, "-d", "cpu", "--json")
    whole = json.loads(info(clip, *options, "--precision", "fp32").stdout)["work"]
    tiled = json.loads(info(clip, *options, "--precision", "fp32", "--tile", "16", "--tile-pad", "8").stdout)["work"]
    assert (whole["precision"], whole["tile"], tiled["tile"]) == ("fp32", 0, 16)
    assert tiled["memory"] != whole["memory"]
    limited = json.loads(info(clip, *options, "--max-memory", "1M").stdout)["work"]
    assert limited["free_memory"] == 1 << 20 and limited["tile"] > 0
    sizes = [json.loads(info(clip, *options, *part).stdout)["output"]["size"] for part in ((), ("--frames", "2"))]
    assert sizes[1] < sizes[0]


def test_the_color_profile_of_a_picture_is_told(tmp_path: Path):
    """By the name that it gives itself, whatever is in that."""
    pictures = {
        "Display P3": profile(),
        "[red]P3[/red] 2": profile("[red]P3[/red]\x1b\n2"),
        "without a name, RGB": (132).to_bytes(4) + profile()[4:128] + bytes(4),
    }
    for name, icc in pictures.items():
        Image.new("RGB", (32, 16)).save(tmp_path / "picture.png", icc_profile=icc)
        assert f"profile {name} frames" in " ".join(info(tmp_path / "picture.png").stdout.split())
        assert json.loads(info(tmp_path / "picture.png", "--json").stdout)["video"]["color"]["profile"] == name
    Image.new("RGB", (32, 16)).save(tmp_path / "plain.png")
    assert json.loads(info(tmp_path / "plain.png", "--json").stdout)["video"]["color"]["profile"] is None


def test_failures_are_one_sentence(tmp_path: Path):
    """As everywhere."""
    from edvr_cli.errors import InputError

    with pytest.raises(InputError, match="no such file"):
        CliRunner().invoke(edvr, ["info", str(tmp_path / "no.mp4")], catch_exceptions=False)


def test_each_device_is_planned_for(clip: Path, tmp_path: Path):
    """Two workers on the CPU share its memory, also a limit to it."""
    save_model(random_network(features=8, groups=2, tail=4), model := tmp_path / "tiny.safetensors")
    options = ("-n", model, "-d", "cpu,cpu", "--precision", "fp32")
    text = " ".join(info(clip, *options).stdout.split())
    assert "Devices: 2 × cpu, a worker process each." in text and "available for each worker" in text
    work = json.loads(info(clip, *options, "--max-memory", "1M", "--json").stdout)["work"]
    assert work["device"] == "2 × cpu"
    assert [each["free_memory"] for each in work["devices"]] == [1 << 19] * 2
    assert [each["tile"] for each in work["devices"]] == [work["tile"]] * 2 != [0, 0]
