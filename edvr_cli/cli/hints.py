"""Hints of library errors as flags of the command."""

from edvr_cli.errors import EdvrError, Hint

__all__ = ["message_with_hint"]

_HINTS: dict[Hint, str] = {
    "codec": "choose another --codec, or leave it out",
    "container": "use another suffix; .mkv holds anything",
    "device": "try --device cpu or a smaller model",
    "fresh": "start over with --fresh",
    "model": "pass --model (or --weights) with a model name or checkpoint file",
    "no_resume": "leave out --resume to start",
    "overwrite": "pass --overwrite (-y) to replace it",
    "pix_fmt": "leave --pix-fmt out",
    "precision": "pass --precision bf16 or fp32",
    "raw": "correct --raw-input",
}


def message_with_hint(error: EdvrError) -> str:
    """The error's sentence, and the flag that would help."""
    text = str(error)
    if error.hint is None:
        return text
    return f"{text.rstrip('.')}; {_HINTS[error.hint]}."
