"""Help and wrong arguments are answered without torch, which takes seconds to load, and with exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edvr_cli.models.checkpoint import save_model
from tests.support.clips import make_clip
from tests.support.networks import random_network

TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}

MANY_WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # an import of it now fails
from edvr_cli.cli import main
for line in sys.stdin.read().splitlines():
    try:
        main(line.split())
    except SystemExit as left:
        print("exit", left.code, line, flush=True)
"""
NAMES = [
    "upscale",
    "deblur",
    "preview",
    "info",
    "compare",
    "report",
    "models",
    "eval",
    "train",
    "finetune",
    "bench",
    "doctor",
    "config",
    "completion",
]
HELP = ["-h", *(f"{name} -h" for name in NAMES)]
WRONG = (
    "upscael",
    "upscale --bogus",
    "upscale",
    "upscale missing.mp4",
    "upscale in.mp4 out.xyz",
    "upscale in.mp4 taken.mp4",
    "upscale in.mp4 out.mp4 --scale 9",
    "upscale in.mp4 out.mp4 --crf 99",
    "upscale in.mp4 out.webm --crf 70",
    "upscale in.mp4 out.mp4 --preset fsat",
    "upscale in.mp4 out.mp4 --codec h266",
    "upscale in.mp4 out.mp4 -e crff=3",
    "upscale http://example.org/in.mp4 out.mp4",
    "upscale in.mp4 out.mp4 -n edvr-q",
    "upscale in.mp4 out.mp4 -n edvr-s-deblur --denoise 0.5",
    "upscale in.mp4 out.mp4 --denoise 2",
    "upscale in.mp4 --config taken.mp4",
    "upscale in.mp4 --profile none",
    "info missing.mp4",
    "info in.mp4 --bogus",
    "preview missing.mp4",
    "preview in.mp4 -o taken.mp4",
    "preview in.mp4 -o new.png",
    "preview in.mp4 --at 0:01",
    "preview in.mp4 -n edvr-q",
    "preview pictures -o pictures",
    "compare missing.mp4 in.mp4",
    "report in.mp4 missing.mp4",
    "eval missing",
    "eval pictures -n edvr-q",
    "eval pictures --compress h264:99",
    "bench --size xl",
    "bench --resolution 8x8",
    "bench -d gpu",
    "train pictures model.pth",
    "train pictures model.safetensors --patch 20",
    "train pictures model.safetensors --start edvr-q",
    "train pictures model.safetensors --resume",
    "finetune pictures model.pth",
    "finetune pictures model.safetensors --start edvr-q",
    "finetune pictures model.safetensors --teacher missing.pth",
)
UPSCALE = """
import sys
from edvr_cli.cli import main
try:
    main(["upscale", "in.mp4", "out.mp4", "-n", "tiny.safetensors", "-d", "cpu", "--scale", "1"])
except SystemExit as left:
    assert not left.code
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize(("lines", "code"), [(HELP, 0), (WRONG, 2)], ids=["help", "wrong"])
def test_answers_come_without_torch(tmp_path: Path, lines: list[str], code: int):
    """One process answers them all."""
    for name in ("in.mp4", "taken.mp4"):
        (tmp_path / name).write_bytes(b"not looked at")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "in_preview").mkdir()
    (tmp_path / "in_preview" / "in_0m01.00s.png").write_bytes(b"of an earlier preview")
    run = subprocess.run(
        [sys.executable, "-c", MANY_WITHOUT_TORCH],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    answers = [line for line in run.stdout.splitlines() if line.startswith("exit ")]
    assert answers == [f"exit {code} {line}" for line in lines], run.stderr


def test_a_video_is_restored_without_torch_s_compiler(tmp_path: Path):
    """Loading it takes seconds, and leaves a folder among the temporary files."""
    make_clip(tmp_path / "in.mp4", width=32, height=24, frames=1)
    save_model(random_network(**TINY), tmp_path / "tiny.safetensors")
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    command = [sys.executable, "-c", UPSCALE]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert run.stdout.splitlines()[-1:] == ["False"], run.stderr
    assert not list((tmp_path / "tmp").iterdir())
