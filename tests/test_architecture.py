"""Who may import whom, and what nobody may do."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import edvr_cli

PACKAGE = Path(edvr_cli.__file__).parent
MODULES = {
    ".".join(("edvr_cli", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the top down, one package per layer: a module imports from its own layer and those below, never from one above.
LAYERS = (
    "__main__",
    "cli",
    "bench",
    "train",
    "quality",
    "jobs",
    "inference",
    "video.muxing",
    "video.writing",
    "video.clip_folders",
    "video.reading",
    "video",
    "video.pixels",
    "models",
    "network",
    "ops",
    "image",
    "system",
    "events",
    "size",
    "errors",
    "version",
)


def layer_of(module: str) -> int:
    """The layer's number, 0 at the top: that of the longest name that begins the module's."""
    parts = module.removeprefix("edvr_cli").removeprefix(".").split(".")
    for size in range(len(parts), 0, -1):
        if ".".join(parts[:size]) in LAYERS:
            return LAYERS.index(".".join(parts[:size]))
    raise AssertionError(f"{module} has no place in the layers of {__file__}: give it one")


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


def test_no_modules_import_each_other():
    """Not inside a package either, and not in a function: such a pair is one module in two files."""
    graph = {module: {name for name in imports(module) if name in MODULES} - {module, "edvr_cli"} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' ← '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("libraries", "home"),
    [
        ({"av", "imageio_ffmpeg"}, "edvr_cli.video"),
        ({"PIL"}, "edvr_cli.video.reading.webp"),
        ({"click", "rich"}, "edvr_cli.cli"),
        ({"numba", "llvmlite", "triton"}, "edvr_cli.ops"),
        ({"safetensors"}, "edvr_cli.models"),
        ({"matplotlib"}, "edvr_cli.system.charts"),
        ({"filelock"}, "edvr_cli.jobs"),
        ({"ray"}, "edvr_cli.jobs.ray_backend"),
        ({"platformdirs"}, "edvr_cli.system.user_folders"),
        ({"psutil"}, "edvr_cli.system.limits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_library_has_one_home(libraries: set[str], home: str):
    """So that it can be replaced in one place."""
    for module in MODULES:
        if not f"{module}.".startswith(f"{home}."):
            assert not {name.split(".")[0] for name in imports(module)} & libraries, module


def test_the_library_never_prints_or_exits():
    """The command alone speaks to the user; the library logs, and leaves it to others where to."""
    for module, path in MODULES.items():
        if module == "edvr_cli.__main__" or module.startswith("edvr_cli.cli"):
            continue
        assert "sys.exit" not in set(imports(module)), module
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "exit", "quit", "sys.exit", "breakpoint"), module
                assert not called.endswith(("basicConfig", "addHandler", "setLevel")), module


def test_only_the_command_names_its_flags():
    """A library error carries a hint. `edvr doctor` recommends commands, and so does the request to report a fault."""
    for module, path in MODULES.items():
        if module.startswith(("edvr_cli.cli", "edvr_cli.bench.doctor", "edvr_cli.bench.rehearsal", "edvr_cli.errors")):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "pip install" not in node.value:
                assert not re.search(r"(?<![\w-])--[a-z]", node.value), f"{module}:{node.lineno}"


def test_nothing_is_swallowed():
    """No bare except; and whoever catches everything raises it, or hands it on.

    To another thread (threads.py) or process (worker_process.py), to the batch's outcomes, to the compiler whose cache
    fails (jit_cache.py), or to the user as the last line of defence (cli).
    """
    hands_on = {
        "edvr_cli.system.threads", "edvr_cli.ops.cpu.jit_cache", "edvr_cli.jobs.batch",
        "edvr_cli.jobs.worker_process", "edvr_cli.cli",
    }  # fmt: skip
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            assert node.type is not None, f"{module}:{node.lineno}"
            if ast.unparse(node.type) in ("Exception", "BaseException") and module not in hands_on:
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                assert raises, f"{module}:{node.lineno}"


def test_the_network_the_ops_and_the_engine_import_with_torch_alone():
    """And the weights with safetensors too: none needs the libraries of the video or the command line."""
    program = """
import sys
absent = "av click rich imageio_ffmpeg numba llvmlite triton platformdirs psutil jinja2"
for name in absent.split():
    sys.modules[name] = None  # an import of it now fails
import edvr_cli, edvr_cli.network.edvr, edvr_cli.inference.engine, edvr_cli.ops.deform_conv, edvr_cli.ops.selftest
import torch
model = edvr_cli.EDVR(edvr_cli.network.edvr.EDVRConfig(features=8, groups=2, reconstruction_blocks=1, tail=4))
with torch.inference_mode():
    assert model(torch.zeros(1, 5, 3, 4, 4)).shape == (1, 3, 16, 16)
assert "safetensors" not in sys.modules
import edvr_cli.models.checkpoint
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
