"""Checks that come before the network, and before torch."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from edvr_cli.errors import InputError
from edvr_cli.jobs.options import JobOptions, OutputOptions
from edvr_cli.jobs.request import check_request
from edvr_cli.video.reading.options import InputOptions

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # an import of it now fails
from edvr_cli.cli import main
main(["upscale", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.mp4", "out.mp4"), "none.mp4: no such file"),
        (("in.mp4", "taken.mp4"), "taken.mp4 exists; pass --overwrite (-y) to replace it"),
        (("in.mp4", "in.mp4", "-y"), "in.mp4 is the input itself"),
        (("in.mp4", "out.xyz"), "no container is known for the suffix '.xyz'"),
        (("in.mp4", "none/out.mp4"), "none does not exist"),
        (("in.mp4", "out.mp4", "--start", "5", "--end", "2"), "--end must come after --start"),
        (("in.mp4", "out.mp4", "--resume"), "no interrupted job for out.mp4; leave out --resume"),
        (("in.mp4", "out.mp4", "--model", "edvr-s-x5"), "unknown model 'edvr-s-x5'"),
        (("in.mp4", "-", "--cluster", "auto"), "--cluster cannot write to standard output"),
        (("in.mp4", "out.mp4", "--cluster", "auto", "--device", "cpu,cpu"), "leave out the list of --device"),
        (("in.mp4", "out.mp4", "--device", "cuda:0,cuda:0"), "cuda:0 is listed twice: list each device once"),
        (("in.mp4", "out.mp4", "--device", "cpu,cuda:9"), "cpu and cuda cannot share a video"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_reported_before_torch_is_loaded(tmp_path: Path, arguments: tuple[str, ...], message: str):
    """Loading it takes seconds, and so does a network."""
    for name in ("in.mp4", "taken.mp4"):
        (tmp_path / name).write_bytes(b"not looked at")
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode in (1, 2)
    assert message in " ".join(run.stderr.split()), run.stderr


def test_an_empty_range_is_an_error(tmp_path: Path):
    """In the library as well."""
    source = tmp_path / "in.mp4"
    source.touch()
    with pytest.raises(InputError, match="not after its start"):
        check_request(
            source,
            tmp_path / "out.mp4",
            input=InputOptions(start=Fraction(3), end=Fraction(3)),
            output=OutputOptions(),
            job=JobOptions(),
        )
