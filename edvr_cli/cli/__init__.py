"""The ``edvr`` command: the only part of the package that prints, exits, and knows of a terminal."""

import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from io import StringIO
from types import FrameType
from typing import NoReturn

import click

# Before torch is loaded: its idle threads sleep instead of spinning. They take turns with the deformable
# convolution's, the decoder's and the encoder's threads, which a spinning thread would keep off the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Before CUDA starts: blocks that grow, so that tiles and strips of several sizes leave no memory in pieces.
if sys.platform == "linux":
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

from edvr_cli.cli import messages, output
from edvr_cli.cli.commands import Commands
from edvr_cli.cli.hints import with_hint
from edvr_cli.errors import EdvrError, StoppedError, sentence_of, unforeseen
from edvr_cli.system.malloc import keep_memory
from edvr_cli.system.threads import left_behind
from edvr_cli.version import __version__

__all__ = ["edvr", "main"]

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
_DASHED_FILE = re.compile(r"-[^-].*\.[A-Za-z][A-Za-z0-9]{1,4}")

_DESCRIPTION = """Restore video with EDVR: upscale it, or remove its blur.

Each command has a --help. Results go to standard output, all else to standard error.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. NO_COLOR=1 turns colors off.
"""

_EXAMPLES = {
    "edvr preview in.mp4": "restore a few moments, and estimate the time",
    "edvr upscale in.mp4 out.mp4": "enlarge four times",
    "edvr report in.mp4 out.mp4": "compare before and after",
}

edvr = Commands(
    {
        "Restore": {
            "upscale": ("restore:upscale", "Enlarge a video, or a folder of them."),
            "deblur": ("restore:deblur", "Remove motion blur."),
            "preview": ("preview:preview_command", "Restore a few moments, to see the result and the speed."),
        },
        "Look": {
            "info": ("info:info_command", "Describe a video, and plan its restoration."),
            "compare": ("compare:compare_command", "PSNR, SSIM and VMAF of one video against another."),
            "report": ("report:report_command", "An HTML page with a before/after slider and measurements."),
        },
        "Models": {
            "models": ("models:models", "List, fetch, check, add and convert models."),
            "eval": ("eval:evaluate_command", "Measure a model by the published protocols."),
            "train": ("train:train_command", "Train a network on your own footage."),
            "finetune": ("finetune:finetune_command", "Train a model further in a few minutes on a GPU."),
        },
        "Machine": {
            "doctor": ("doctor:doctor_command", "Check this machine, and recommend remedies."),
            "bench": ("bench:bench_command", "Measure the speed of the network."),
            "config": ("config:config_command", "Show your settings and profiles, or begin with an example."),
            "completion": ("completion:completion", "Tab completion for bash, zsh and fish."),
        },
    },
    name="edvr",
    help=_DESCRIPTION,
    examples=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=messages.LOG_OPTIONS.copy(),
)
click.version_option(__version__, "-V", "--version", prog_name="edvr")(edvr)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; any error becomes one sentence on standard error."""
    keep_memory()
    messages.begin()
    output.encode_anything(sys.stdout, sys.stderr)
    for name in ("SIGTERM", "SIGHUP"):  # the second one where a terminal is closed; Windows has none
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _terminate)
    try:
        code = _run(arguments)
    except KeyboardInterrupt:  # while the first one was being reported
        code = INTERRUPTED
    if left_behind():
        # A thread that waits for a pipe would keep the interpreter from ending, and what it waits for may never come.
        messages.begin()
        os._exit(code)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """The exit code; every exception becomes a sentence."""
    try:
        edvr.main(arguments, prog_name="edvr", standalone_mode=False)
        output.flush()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and error.possibilities:
            # "--height" is no misspelling of "--weights".
            start = error.option_name.lstrip("-")[:1]
            names = [name for name in error.possibilities if name.lstrip("-").startswith(start)]
            error = click.NoSuchOption(error.option_name, possibilities=names, ctx=error.ctx)
        usage = StringIO()
        error.show(usage)
        if dashed := next(filter(_DASHED_FILE.fullmatch, sys.argv[1:] if arguments is None else arguments), None):
            usage.write(f"{dashed} was taken for an option: a file whose name begins with a dash is ./{dashed}\n")
        messages.say(usage.getvalue().rstrip("\n"), wrap=True)
        messages.log(error.format_message(), "error")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt, StoppedError):
        messages.say("edvr: interrupted.")
        messages.log("interrupted", "error")
        return INTERRUPTED
    except RuntimeError as error:  # those of torch
        from edvr_cli.system.gpu_errors import explanation  # noqa: PLC0415 (loads torch)

        return _fail(explanation(error) or error)
    except Exception as error:
        return _fail(error)
    return 0


def _fail(error: Exception) -> int:
    """Print the error, and log the details of an unexpected one; returns the exit code."""
    foreseen = isinstance(error, EdvrError | OSError)
    sentence = with_hint(sentence_of(error), getattr(error, "hint", None)) if foreseen else unforeseen(error)
    details = "".join(traceback.format_exception(error))
    if messages.wants_traceback():
        messages.say(details)
    if not foreseen or messages.wants_traceback():
        messages.log_traceback(details)
    messages.say(" ".join([f"edvr: {sentence}", *getattr(error, "__notes__", ())]), wrap=True)
    messages.log(sentence, "error")
    output.discard()
    return WRONG_USAGE if isinstance(error, EdvrError) and error.wrong_usage else FAILED


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave by way of every ``finally``, as on Ctrl-C."""
    raise KeyboardInterrupt
