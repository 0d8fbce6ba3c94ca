"""Who may import whom, and what nobody may do."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edvr_cli

PACKAGE = Path(edvr_cli.__file__).parent
MODULES = {
    ".".join(("edvr_cli", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the top down: a module imports from lower layers and its own, never from a higher one.
LAYERS = (
    ("__main__",),
    ("cli",),
    (
        "train",
        "evaluation",
        "bench",
        "jobs",
        "cluster",
        "report",
        "collection",
        "compare",
        "doctor",
        "preview",
        "forecast",
    ),
    ("", "pipeline"),
    ("excerpt",),
    ("engine", "stages", "video", "weights", "shots", "overlap", "metrics", "footage"),
    ("edvr", "memory", "models", "precision", "tiling", "resample"),
    ("ops", "window", "events", "segments", "download", "naming", "chart", "limits"),
    ("errors", "allocation", "transfer", "compilation", "system"),
)


def layer_of(module: str) -> int:
    """The layer's number, 0 at the top."""
    part = module.removeprefix("edvr_cli").removeprefix(".").split(".")[0]
    found = [number for number, layer in enumerate(LAYERS) if part in layer]
    assert found, f"{module} has no place in the layers of {__file__}: give it one"
    return found[0]


def imports(module: str) -> Iterator[str]:
    """Every module that a module imports, anywhere in its text."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES)
def test_arrows_go_down_only(module: str):
    """From the command line to the operations; `edvr_cli` itself only names what its users import."""
    if module == "edvr_cli":
        return
    for name in imports(module):
        if name in MODULES and name != "edvr_cli":
            assert layer_of(module) <= layer_of(name), f"{module} imports {name} from a higher layer"


@pytest.mark.parametrize(
    ("libraries", "home"),
    [
        ({"av", "imageio_ffmpeg"}, "edvr_cli.video"),
        ({"PIL"}, "edvr_cli.video.webp"),
        ({"click", "rich"}, "edvr_cli.cli"),
        ({"numba", "llvmlite", "triton"}, "edvr_cli.ops"),
        ({"safetensors"}, "edvr_cli.weights"),
        ({"matplotlib"}, "edvr_cli.chart"),
        ({"filelock"}, "edvr_cli.jobs"),
        ({"ray"}, "edvr_cli.cluster"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_library_has_one_home(libraries: set[str], home: str):
    """So that it can be replaced in one place."""
    for module in MODULES:
        if not f"{module}.".startswith(f"{home}."):
            assert not {name.split(".")[0] for name in imports(module)} & libraries, module


def test_the_library_never_prints_or_exits():
    """Nor logs: the command line alone speaks to the user."""
    for module, path in MODULES.items():
        if module == "edvr_cli.__main__" or module.startswith("edvr_cli.cli"):
            continue
        assert not {"logging", "sys.exit"} & set(imports(module)), module
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "exit", "quit", "sys.exit", "breakpoint"), module


def test_nothing_is_swallowed():
    """No bare except; and whoever catches everything raises it, or hands it on (overlap.py, to another thread)."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            assert node.type is not None, f"{module}:{node.lineno}"
            if ast.unparse(node.type) in ("Exception", "BaseException") and module != "edvr_cli.overlap":
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                assert raises, f"{module}:{node.lineno}"


def test_the_network_the_ops_and_the_engine_import_with_torch_alone():
    """And the weights with safetensors besides: none needs the video or the command line's libraries."""
    program = """
import sys
for name in ("av", "click", "rich", "imageio_ffmpeg", "numba", "llvmlite", "triton"):
    sys.modules[name] = None  # an import of it now fails
import edvr_cli, edvr_cli.edvr, edvr_cli.engine, edvr_cli.ops.deform_conv, edvr_cli.ops.selftest
import torch
model = edvr_cli.EDVR(edvr_cli.edvr.EDVRConfig(features=8, groups=2, reconstruction_blocks=1, tail=4))
with torch.inference_mode():
    assert model(torch.zeros(1, 5, 3, 4, 4)).shape == (1, 3, 16, 16)
assert "safetensors" not in sys.modules
import edvr_cli.weights
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
