"""The ``edvr`` command: the only part of the package that prints, exits, and knows of a terminal."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

# Before torch is loaded: its idle threads sleep instead of spinning. They take turns with the deformable
# convolution's, the decoder's and the encoder's threads, which a spinning thread would keep off the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import edvr_cli
from edvr_cli.cli.bench import bench_command
from edvr_cli.cli.compare import compare_command
from edvr_cli.cli.doctor import doctor_command
from edvr_cli.cli.eval import evaluate_command
from edvr_cli.cli.info import info_command
from edvr_cli.cli.models import models
from edvr_cli.cli.preview import preview_command
from edvr_cli.cli.report import report_command
from edvr_cli.cli.restore import deblur, upscale
from edvr_cli.cli.train import train_command
from edvr_cli.errors import EdvrError, StoppedError

__all__ = ["edvr", "main"]

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edvr_cli.__version__, "-V", "--version", prog_name="edvr")
def edvr() -> None:
    """Restore video with EDVR: upscale it, or remove its blur.

    \b
    edvr upscale in.mp4 out.mp4 --scale 4
    edvr deblur in.mp4 out.mp4 --model MODEL

    The result's path goes to standard output, all else to standard error. Exit codes: 0 done, 1 failed,
    2 wrong usage, 130 interrupted.
    """


edvr.add_command(upscale)
edvr.add_command(deblur)
edvr.add_command(info_command)
edvr.add_command(evaluate_command)
edvr.add_command(train_command)
edvr.add_command(bench_command)
edvr.add_command(models)
edvr.add_command(compare_command)
edvr.add_command(preview_command)
edvr.add_command(report_command)
edvr.add_command(doctor_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; anything the user can act on becomes one sentence on standard error."""
    _keep_memory()
    for name in ("SIGTERM", "SIGHUP"):  # the second one where a terminal is closed; Windows has none
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _terminate)
    try:
        edvr.main(arguments, prog_name="edvr", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt, StoppedError):
        click.echo("edvr: interrupted.", err=True)
        sys.exit(INTERRUPTED)
    except EdvrError as error:
        click.echo(f"edvr: {error}", err=True)
        sys.exit(1)
    sys.exit(0)


def _keep_memory() -> None:
    """Let one frame's maps lie where the last one's did.

    Otherwise the C library gives large blocks back to Linux as they are freed, and Linux clears every page
    anew: a seventh of the time of a frame in fp32.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return  # another C library than glibc
    no_maps, no_trimming = (-4, 0), (-1, -1)  # M_MMAP_MAX, M_TRIM_THRESHOLD
    for option, value in (no_maps, no_trimming):
        set_option(option, value)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave by way of every ``finally``, as on Ctrl-C."""
    raise KeyboardInterrupt
