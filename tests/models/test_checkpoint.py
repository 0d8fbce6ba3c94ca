"""Checkpoints: every wrapper and naming of the same network, and a sentence for what is none."""

import hashlib
import pickle
import re
import zipfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from edvr_cli.errors import DeviceError, ModelError
from edvr_cli.jobs.fingerprint import model_digest
from edvr_cli.models import registry as models
from edvr_cli.models.blending import blend_into
from edvr_cli.models.checkpoint import config_of, load_model, read_state_dict, save_model
from edvr_cli.models.registry import MODELS, default_model, find_model, model_folders
from edvr_cli.network.edvr import EDVR, EDVRConfig
from edvr_cli.network.model import Model
from edvr_cli.train.revival import living_channels
from edvr_cli.video.clip_folders import read_frames
from tests.support.errors import raises
from tests.support.networks import TINY, random_network

EXAMPLE = Path(__file__).parents[2] / "examples/bbb.mp4"
CONFIGURATIONS = [
    {},
    {"features": 24, "groups": 6, "tail": 12},
    {"frames": 7},
    {"extraction_blocks": 2, "reconstruction_blocks": 3},
    {"predeblur": True},
    {"predeblur": True, "hr_in": True},
    {"tsa": False},
    {"tsa": False, "frames": 7, "predeblur": True, "hr_in": True},
    {"cascade": False},
    {"levels": 1},
    {"levels": 1, "cascade": False, "tsa": False},
]


def openmmlab(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same parameters under OpenMMLab's keys, with the training state that its files also hold."""
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        name = re.sub(r"^pcd_align\.", "pcd_alignment.", key)
        name = re.sub(r"^conv_l([23])_([12])\.", r"feat_l\1_conv\2.conv.", name)
        name = re.sub(r"^upconv([12])\.", r"upsample\1.upsample_conv.", name)
        # Its ConvModule holds the convolution one level deeper.
        name = re.sub(r"^(conv_first|pcd_alignment\.(?:cas_)?(?:offset|feat)_conv.*)\.(\w+)$", r"\1.conv.\2", name)
        name = re.sub(r"^(fusion\.(?:feat_fusion|spatial_attn\w*))\.(\w+)$", r"\1.conv.\2", name)
        named[f"generator.{name}"] = value
        named[f"generator_ema.{name}"] = value + 1
    return {"step_counter": torch.tensor(7), **named}


def first_release(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same parameters under the keys of the paper's own release."""
    hr_in = "predeblur.stride_conv_hr1.weight" in state
    renames = (
        (r"^predeblur\.conv_first", "pre_deblur.conv_first_1" if hr_in else "pre_deblur.conv_first"),
        (r"^predeblur\.stride_conv_hr1", "pre_deblur.conv_first_2"),
        (r"^predeblur\.stride_conv_hr2", "pre_deblur.conv_first_3"),
        (r"^predeblur\.stride_conv_l", "pre_deblur.deblur_L"),
        (r"^(pre_deblur\.deblur_L[23])\.", r"\1_conv."),
        (r"^predeblur\.resblock_l3", "pre_deblur.RB_L3_1"),
        (r"^predeblur\.resblock_l2_", "pre_deblur.RB_L2_"),
        (r"^predeblur\.resblock_l1\.(\d)", lambda m: f"pre_deblur.RB_L1_{int(m[1]) + 1}"),
        (r"^conv_l([23])_", r"fea_L\1_conv"),
        (r"^pcd_align\.dcn_pack\.l(\d)", r"pcd_align.L\1_dcnpack"),
        (r"^pcd_align\.offset_conv(\d)\.l(\d)", r"pcd_align.L\2_offset_conv\1"),
        (r"^pcd_align\.feat_conv\.l(\d)", r"pcd_align.L\1_fea_conv"),
        (r"\.conv_offset\.", ".conv_offset_mask."),
        (r"^fusion\.temporal_attn1", "tsa_fusion.tAtt_2"),
        (r"^fusion\.temporal_attn2", "tsa_fusion.tAtt_1"),
        (r"^fusion\.feat_fusion", "tsa_fusion.fea_fusion"),
        (r"^fusion\.spatial_attn_add", "tsa_fusion.sAtt_add_"),
        (r"^fusion\.spatial_attn_l", "tsa_fusion.sAtt_L"),
        (r"^fusion\.spatial_attn", "tsa_fusion.sAtt_"),
        (r"^fusion\.", "tsa_fusion."),
        (r"^reconstruction", "recon_trunk"),
        (r"^conv_hr", "HRconv"),
    )
    named = {}
    for key, value in state.items():
        name = key
        for pattern, other in renames:
            name = re.sub(pattern, other, name)
        named[name] = value
    return named


@pytest.mark.parametrize("changes", [{}, {"tsa": False}, {"predeblur": True}, {"predeblur": True, "hr_in": True}])
def test_the_first_releases_keys_are_read(tmp_path: Path, changes):
    """Those from before BasicSR, for each kind of network; each key differs where the lineages do."""
    model = random_network(**changes)
    named = first_release(model.state_dict())
    assert "recon_trunk.0.conv1.weight" in named
    torch.save({f"module.{key}": value for key, value in named.items()}, tmp_path / "model.pth")
    assert_same(load_model(tmp_path / "model.pth"), model)


WRAPPERS = {
    "bare": lambda state: state,
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params_ema": state, "params": {key: value + 1 for key, value in state.items()}},
    "state_dict": lambda state: {"state_dict": state, "meta": {"epoch": 3}, "optimizer": {}},
    "module": lambda state: {f"module.{key}": value for key, value in state.items()},
    "module in params": lambda state: {"params": {f"module.{key}": value for key, value in state.items()}},
    "generator": lambda state: {"state_dict": {f"generator.{key}": value for key, value in state.items()}},
    "openmmlab": lambda state: {"meta": {}, "state_dict": openmmlab(state)},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper_and_naming_is_read(tmp_path: Path, wrapper: str):
    """The averaged parameters win, training state is left alone."""
    model = random_network()
    torch.save(WRAPPERS[wrapper](model.state_dict()), tmp_path / "model.pth")
    assert_same(load_model(tmp_path / "model.pth"), model)


@pytest.mark.parametrize("naming", [dict, openmmlab])
def test_safetensors_are_read_like_pickles(tmp_path: Path, naming):
    """Under either naming."""
    model = random_network()
    save_file({key: value.clone() for key, value in naming(model.state_dict()).items()}, tmp_path / "m.safetensors")
    assert_same(load_model(tmp_path / "m.safetensors"), model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_whatever_is_stored_becomes_float32(tmp_path: Path, dtype: torch.dtype):
    """Half precision halves the file, not the arithmetic."""
    model = random_network()
    torch.save({"params": {key: value.to(dtype) for key, value in model.state_dict().items()}}, tmp_path / "m.pth")
    loaded = load_model(tmp_path / "m.pth").network.state_dict()
    assert all(torch.equal(loaded[key], value.to(dtype).float()) for key, value in model.state_dict().items())
    assert {value.dtype for value in loaded.values()} == {torch.float32}


@pytest.mark.parametrize("changes", CONFIGURATIONS, ids=str)
def test_the_parameters_tell_every_dimension(tmp_path: Path, changes: dict):
    """Through a saved file, without any config."""
    model = random_network(**changes)
    save_model(model, tmp_path / "m.safetensors", dtype=torch.float32)
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.config == replace(TINY, **changes)
    assert_same(loaded, model)


@pytest.mark.parametrize("large", [False, True])
def test_the_public_networks_dimensions_are_told(large: bool):
    """Of M, L and L for deblurring, from shapes alone."""
    sizes = {"features": 128, "reconstruction_blocks": 40, "predeblur": True, "hr_in": True} if large else {}
    config = EDVRConfig(**sizes)  # type: ignore[arg-type]
    with torch.device("meta"):
        assert config_of(EDVR(config).state_dict()) == config


def test_a_loaded_model_is_ready_to_restore(tmp_path: Path):
    """Eval mode, no gradients, on the device asked for, named after its file."""
    save_model(random_network(), tmp_path / "mine.safetensors")
    model = load_model(tmp_path / "mine.safetensors", torch.device("cpu"))
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert model.name == "mine"


def test_a_saved_model_keeps_its_recipe(tmp_path: Path):
    """Name and window padding travel in the file; the padding can be overridden on loading."""
    model = Model.of(random_network(), padding="circle")
    save_model(model, tmp_path / "m.safetensors", name="anime", task="sr")
    loaded = load_model(tmp_path / "m.safetensors")
    assert (loaded.name, loaded.padding) == ("anime", "circle")
    assert load_model(tmp_path / "m.safetensors", padding="replicate").padding == "replicate"
    _, recipe = read_state_dict(tmp_path / "m.safetensors")
    assert recipe["task"] == "sr"
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_an_unknown_padding_in_a_file_is_refused(tmp_path: Path):
    """With those that there are."""
    model = Model.of(random_network(), padding="mirror")  # type: ignore[arg-type]
    save_model(model, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match=r"'mirror'; known are replicate, reflection, reflection_circle, circle"):
        load_model(tmp_path / "m.safetensors")


def test_a_pre_deblurring_model_is_padded_as_it_was_trained(tmp_path: Path):
    """By repetition, where the file says nothing; else by reflection around the window."""
    for name, changes in {"deblur": {"predeblur": True}, "sr": {}}.items():
        torch.save(random_network(**changes).state_dict(), tmp_path / f"{name}.pth")
    assert load_model(tmp_path / "deblur.pth").padding == "replicate"
    assert load_model(tmp_path / "sr.pth").padding == "reflection_circle"


def test_missing_extra_and_misshaped_parameters_are_one_error(tmp_path: Path):
    """That lists the first few of each, and how many more there are."""
    state = random_network().state_dict()
    for number in range(5):
        state[f"extra.{number}"] = torch.zeros(1)
    del state["conv_l2_2.bias"], state["conv_last.weight"]
    state["upconv1.weight"] = torch.zeros(4, 16, 3, 3)
    torch.save({"params": state}, tmp_path / "m.pth")
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / "m.pth")
    message = str(caught.value)
    assert str(tmp_path / "m.pth") in message
    assert "missing: conv_l2_2.bias, conv_last.weight;" in message
    assert "unexpected: extra.0, extra.1, extra.2 and 2 more;" in message
    assert "of the wrong shape: upconv1.weight (4, 16, 3, 3) for (64, 16, 3, 3)" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.update({"conv_first.weight": torch.zeros(16)}),
        lambda state: state.update({"conv_first.weight": torch.tensor(1.0)}),
        lambda state: state.update({"conv_first.weight": torch.zeros(0, 3, 3, 3)}),
        lambda state: state.update({"fusion.feat_fusion.weight": torch.zeros(80)}),
        lambda state: state.update({"fusion.feat_fusion.weight": torch.zeros(16, 8, 1, 1)}),
        lambda state: state.update({"fusion.feat_fusion.weight": torch.zeros(16, 64, 1, 1)}),
        lambda state: state.update({"pcd_align.dcn_pack.l1.conv_offset.weight": torch.zeros(7, 16, 3, 3)}),
        lambda state: state.update({"pcd_align.dcn_pack.l1.conv_offset.weight": torch.zeros(81, 16, 3, 3)}),
        lambda state: state.update({"reconstruction.1000000000.conv1.weight": torch.zeros(1)}),
    ],
    ids=[
        "flat",
        "scalar",
        "empty",
        "flat fusion",
        "small fusion",
        "even window",
        "no groups",
        "uneven groups",
        "countless blocks",
    ],
)
def test_parameters_that_describe_no_network_are_an_error(tmp_path: Path, spoil):
    """Neither a traceback nor an endless construction."""
    state = random_network().state_dict()
    spoil(state)
    torch.save({"params": state}, tmp_path / "m.pth")
    with pytest.raises(ModelError, match=r"m\.pth"):
        load_model(tmp_path / "m.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "html", "short"])
def test_a_damaged_file_is_an_error(tmp_path: Path, suffix: str, damage: str):
    """In one line that names the file, whatever the reader says of it."""
    path = tmp_path / f"m{suffix}"
    if suffix == ".pth":
        torch.save(random_network().state_dict(), path)
    else:
        save_model(random_network(), path)
    whole = path.read_bytes()
    html = b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head></html>"
    path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "html": html, "short": whole[:9]}[damage])
    with pytest.raises(ModelError, match=rf"m\{suffix} is not a readable checkpoint") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


class Exploit:
    """Touches a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, form: str):
    """In each of the forms that torch reads."""
    witness = tmp_path / "witness"
    content = {"params": random_network().state_dict(), "extra": Exploit(witness)}
    if form == "plain":
        (tmp_path / "m.pth").write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, tmp_path / "m.pth", _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        load_model(tmp_path / "m.pth")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no network parameters"),
        ([1, 2], "no network parameters"),
        (torch.zeros(3), "no network parameters"),
        ({"params": {"conv.weight": torch.zeros(3)}}, "not an EDVR checkpoint.*conv_first.weight"),
    ],
)
def test_another_kind_of_content_is_said_to_be_one(tmp_path: Path, content: object, message: str):
    """A readable file need not be an EDVR network."""
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "m.pth")


def test_a_zip_that_is_no_checkpoint_is_an_error(tmp_path: Path):
    """Torch's own files are zips as well."""
    with zipfile.ZipFile(tmp_path / "m.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        load_model(tmp_path / "m.pth")


def test_a_directory_is_no_model(tmp_path: Path):
    """Nor does it lead to a traceback."""
    with pytest.raises(ModelError):
        load_model(tmp_path)


def test_an_unknown_name_suggests_the_nearest():
    """Or lists them all, where nothing is near."""
    with pytest.raises(ModelError, match=r"unknown model 'edvr-m-x4-red': did you mean 'edvr-m-x4-reds'\?"):
        load_model("edvr-m-x4-red")
    known = "edvr-s-x4-real, edvr-s-x4, edvr-m-x4, edvr-m-x4-real, edvr-s-deblur, "
    with pytest.raises(ModelError, match=rf"unknown model .zzz.: known: {known}"):
        load_model("zzz")
    with pytest.raises(ModelError, match=r"model file no/such\.pth does not exist"):
        load_model("no/such.pth")


def test_a_known_model_that_is_not_here_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And which folder it belongs in."""
    monkeypatch.setenv("EDVR_MODEL_DIR", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        load_model("edvr-l-deblur-reds")
    message = str(caught.value)
    assert "EDVR_L_deblur_REDS_official-ca46bd8c.pth" in message
    assert "edvr models pull edvr-l-deblur-reds" in message
    assert str(tmp_path) in message


def test_models_are_found_by_name_in_the_user_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """EDVR_MODEL_DIR, or the user's data folder."""
    monkeypatch.setenv("EDVR_MODEL_DIR", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    save_model(random_network(), tmp_path / "own" / "mine.safetensors")
    assert find_model("mine") == tmp_path / "own" / "mine.safetensors"
    assert load_model("mine").name == "mine"
    monkeypatch.delenv("EDVR_MODEL_DIR")
    monkeypatch.setattr(models, "data_folder", lambda: tmp_path / "data")
    assert model_folders()[-1] == tmp_path / "data" / "models"


def test_a_file_found_by_a_known_name_must_have_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All its digits, or as many as the publisher gives; what matches brings its name and padding."""
    monkeypatch.setenv("EDVR_MODEL_DIR", str(tmp_path))
    entry = MODELS["edvr-l-x4-srblur-reds"]
    torch.save({"params": random_network().state_dict()}, tmp_path / entry.file)
    with pytest.raises(ModelError, match=r"is damaged: its sha256 is [0-9a-f]{64}, not 983d7b8e…; download it again"):
        load_model(entry.name)
    digest = hashlib.sha256((tmp_path / entry.file).read_bytes()).hexdigest()
    for digits in (8, 64):
        monkeypatch.setitem(models.MODELS, entry.name, replace(entry, sha256=digest[:digits]))
        model = load_model(entry.name)
        assert (model.name, model.padding) == (entry.name, "replicate")


def test_a_known_file_is_recognized_under_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By its digest, so that it is padded as its recipe says."""
    path = tmp_path / "renamed.pth"
    torch.save({"params": random_network().state_dict()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = replace(MODELS["edvr-l-deblur-reds"], sha256=digest[:8])
    monkeypatch.setitem(models.MODELS, entry.name, entry)
    model = load_model(path)
    assert (model.name, model.padding) == (entry.name, "replicate")


def test_the_sharpening_of_a_model_travels_in_its_file(tmp_path: Path):
    """Through saving and blending; what is no amount is refused, and it is a part of a job's identity."""
    model = Model.of(random_network())
    sharp = replace(model, sharpen=0.3)
    save_model(model, tmp_path / "soft.safetensors")
    save_model(sharp, tmp_path / "sharp.safetensors")
    assert load_model(tmp_path / "soft.safetensors").sharpen == 0
    assert load_model(tmp_path / "sharp.safetensors").sharpen == 0.3
    assert blend_into(sharp, model, 0.5).sharpen == 0.15
    assert model_digest(model) != model_digest(sharp)
    for wrong in ("much", "3", "-1", "nan"):
        save_model(model, tmp_path / "wrong.safetensors", sharpen=wrong)
        with pytest.raises(ModelError, match="asks for sharpening by"):
            load_model(tmp_path / "wrong.safetensors")


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.shipped])
def test_a_shipped_model_loads_without_a_network(name, monkeypatch: pytest.MonkeyPatch):
    """It has the scale, padding and number of parameters that the registry states, and a card next to it."""
    monkeypatch.setattr("socket.socket", None)
    model, entry = load_model(name), MODELS[name]
    assert (model.name, model.config.scale, model.padding) == (name, entry.scale, entry.padding)
    assert sum(parameter.numel() for parameter in model.network.parameters()) == entry.parameters
    assert all(parameter.isfinite().all() for parameter in model.network.parameters())
    assert find_model(name).with_suffix(".md").read_text(encoding="utf-8").startswith(f"# {name}\n")


def test_each_task_has_a_default_that_suits_real_video():
    """What people have is compressed."""
    assert (default_model("sr"), default_model("deblur")) == ("edvr-s-x4-real", "edvr-s-deblur")
    assert {default_model("sr", device) for device in ("cuda", "cuda:1", "mps")} == {"edvr-m-x4-real"}
    assert default_model("deblur", "cuda:0") == "edvr-m-deblur"
    with pytest.raises(ValueError, match="auto"):
        default_model("sr", "auto")


def test_a_task_without_a_shipped_model_says_what_to_pass(monkeypatch: pytest.MonkeyPatch):
    """The option, and the published models' names."""
    entries = {name: replace(entry, shipped=False, default_on=()) for name, entry in MODELS.items()}
    monkeypatch.setattr(models, "MODELS", entries)
    with raises(ModelError, r"no deblur model ships .*edvr-l-deblur-reds", hint="model"):
        default_model("deblur")


def test_the_table_states_the_published_facts():
    """File names end in the first 8 digits of their sha256; all seven are there, with their padding."""
    published = {name: entry for name, entry in MODELS.items() if not entry.shipped}
    assert len(published) == 7
    for name, entry in published.items():
        assert entry.name == name
        assert re.fullmatch(r"EDVR_\w+_official-([0-9a-f]{8})\.pth", entry.file)
        assert entry.file.removesuffix(".pth").endswith(entry.sha256[:8])
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", entry.sha256)
        assert entry.scale == (1 if entry.task == "deblur" else 4)
        assert entry.padding == ("replicate" if "blur" in entry.file else "reflection_circle")
        assert entry.license == "Apache-2.0"
        assert re.search(r"google\.com/.*&id=[\w-]{33}$", entry.published_at[-1])
    assert len({entry.published_at[-1] for entry in published.values()}) == 7
    assert [entry.task for entry in published.values()].count("deblur") == 2
    assert sum(len(entry.sha256) == 64 for entry in published.values()) == 2


@pytest.mark.parametrize("device", ["cuda:99", "meta:0:0", "xpu"])
def test_a_device_that_is_not_there_is_an_error(tmp_path: Path, device: str):
    """Naming the device."""
    save_model(random_network(), tmp_path / "m.safetensors")
    with pytest.raises(DeviceError, match=device):
        load_model(tmp_path / "m.safetensors", device)


def assert_same(model: Model, expected_network: EDVR) -> None:
    """Same dimensions, same parameters."""
    loaded = model.network
    assert loaded.config == expected_network.config
    expected = expected_network.state_dict()
    assert list(loaded.state_dict()) == list(expected)
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


def test_denoise_lies_between_the_clean_and_the_real_model():
    """Whichever of the two is named; at the ends it is one of them. Another model has no such counterpart."""
    clean, real = (load_model(name, "cpu") for name in ("edvr-s-x4", "edvr-s-x4-real"))
    for name in (clean.name, real.name):
        between = load_model(name, "cpu", denoise=0.25)
        assert between.name == "edvr-s-x4-real with denoise 0.25"
        for key, value in between.network.state_dict().items():
            mean = 0.75 * clean.network.state_dict()[key] + 0.25 * real.network.state_dict()[key]
            torch.testing.assert_close(value, mean, atol=1e-6, rtol=0)
        for share, end in ((0, clean), (1, real)):
            found = load_model(name, "cpu", denoise=share)
            assert found.name == end.name
            assert_same(found, end.network)
    with raises(ModelError, "edvr-s-deblur has no counterpart", hint="denoise"):
        load_model("edvr-s-deblur", "cpu", denoise=0.5)


def test_counterparts_are_models_that_are_known():
    """Both of one task and size."""
    for entry in MODELS.values():
        if entry.clean:
            other = MODELS[entry.clean]
            assert (other.task, other.padding, other.parameters) == (entry.task, entry.padding, entry.parameters)
            assert not other.clean


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.shipped])
def test_the_residual_blocks_of_a_shipped_model_do_something(name):
    """A model was shipped once whose residual blocks were all dead: every ReLU in them at zero, on any picture."""
    model = load_model(name).network
    frames = torch.stack(list(islice(read_frames(EXAMPLE), 5)))[None, ..., :96, :128] / 255
    living = living_channels(model, lambda: model(frames)).values()
    assert sum(int(alive.sum()) for alive in living) > 0.5 * sum(map(len, living))
