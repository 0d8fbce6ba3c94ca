"""The list of known models: what it must say, and what is refused."""

from pathlib import Path

import pytest

from edvr_cli.errors import ModelError
from edvr_cli.models import registry
from edvr_cli.models.registry import MODELS, Processor, read_registry

GOOD = {
    "summary": '"for tests"',
    "task": '"sr"',
    "file": '"m.safetensors"',
    "license": '"MIT"',
    "padding": '"circle"',
    "parameters": "1_000",
}


def written(folder: Path, **changes: str | None) -> Path:
    """A list of one model ``m``; None leaves a key out."""
    lines = [f"{key} = {value}" for key, value in (GOOD | changes).items() if value is not None]
    path = folder / "registry.toml"
    path.write_text("\n".join(["[m]", *lines]), encoding="utf-8")
    return path


def test_a_model_is_read_with_its_defaults(tmp_path: Path):
    """Addresses in their order; what is not said is empty or false."""
    entry = read_registry(written(tmp_path, published_at='["https://a/m", "https://b/m"]'))["m"]
    assert (entry.name, entry.task, entry.scale, entry.padding, entry.parameters) == ("m", "sr", 4, "circle", 1000)
    assert entry.published_at == ("https://a/m", "https://b/m")
    assert (entry.sha256, entry.quality, entry.shipped, entry.default_on) == ("", "", False, ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": '"denoise"'}, "model 'm': task is 'denoise'; expected 'sr' or 'deblur'"),
        ({"padding": "1"}, "model 'm': padding is 1; expected 'replicate' or 'reflection'"),
        ({"parameters": '"many"'}, "model 'm': parameters is 'many'; expected a whole number"),
        ({"parameters": "true"}, "model 'm': parameters is True; expected a whole number"),
        ({"shipped": "1"}, "model 'm': shipped is 1; expected true or false"),
        ({"published_at": '"https://a/m"'}, "model 'm': published_at is 'https://a/m'; expected a list of strings"),
        ({"file": None}, "model 'm': the key 'file' is missing"),
        ({"licence": '"MIT"'}, "model 'm': unknown key 'licence'; known are summary, task"),
        ({"summary": "x y"}, "is not a readable list of models: .*line 2"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, str | None], message: str):
    """The file, the model and the key."""
    path = written(tmp_path, **changes)
    with pytest.raises(ModelError, match=rf"^{path}.*{message}"):
        read_registry(path)


def test_what_is_no_table_is_refused(tmp_path: Path):
    """A key outside any model's table."""
    (tmp_path / "registry.toml").write_text("version = 1", encoding="utf-8")
    with pytest.raises(ModelError, match=r"model 'version': expected a table \[version\], got 1"):
        read_registry(tmp_path / "registry.toml")


@pytest.mark.parametrize("processor", ["cpu", "gpu"])
def test_each_task_has_one_default_per_processor_and_it_is_shipped(processor: Processor):
    """So that `edvr upscale` and `edvr deblur` work without a download."""
    defaults = [entry for entry in MODELS.values() if processor in entry.default_on]
    assert sorted(entry.task for entry in defaults) == ["deblur", "sr"]
    assert all(entry.shipped for entry in defaults)


def test_a_list_of_other_words_is_refused(tmp_path: Path):
    """Each item counts."""
    text = Path(registry.__file__).with_name("registry.toml").read_text(encoding="utf-8")
    (tmp_path / "registry.toml").write_text(text.replace('"gpu"', '"npu"'), encoding="utf-8")
    with pytest.raises(ModelError, match=r"default_on is .*'npu'.*expected a list of 'cpu' or 'gpu'"):
        read_registry(tmp_path / "registry.toml")
