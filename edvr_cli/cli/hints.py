"""Hints of library errors as flags of the command."""

from edvr_cli.errors import Hint

__all__ = ["with_hint"]

_HINTS: dict[Hint, str] = {
    "avi": "for one all the same: edvr upscale IN - | ffmpeg -i - -i IN -map 0:v -map 1:a? -c:v mpeg4 -q:v 2 OUT.avi",
    "gif": "for one all the same: edvr upscale IN - | "
    "ffmpeg -i - -vf 'split[a][b];[a]palettegen[p];[b][p]paletteuse' OUT.gif",
    "codec": "choose another --codec, or a file name that ends in .mkv",
    "crf": "leave out --crf, or set the encoder's own options with -e",
    "denoise": "leave out --denoise, or choose another --model",
    "device": "try --device cpu or a smaller model",
    "end": "stop before that with --end",
    "fresh": "start over with --fresh",
    "model": "pass --model (or --weights) with a model name or checkpoint file",
    "network": "pass --allow-network to read it",
    "name": "choose another --name",
    "no_codec": "leave out --codec",
    "no_resume": "leave out --resume to start",
    "overwrite": "pass --overwrite (-y) to replace it",
    "pix_fmt": "leave out --pix-fmt, or pass --pipe-format raw",
    "precision": "pass --precision auto, bf16 or fp32",
    "preset": "leave out --preset, or set the encoder's own options with -e",
    "raw": "pass another --raw-input",
    "size": "pass --size to compare them all the same",
    "strict": "leave out --strict-streams to continue",
    "smaller": "--scale 4k or --height 2160 makes it smaller",
    "target_size": "choose a larger --scale, --height, --width or --size",
    "vmaf": "leave out --vmaf, or pass --no-vmaf",
}


def with_hint(message: str, hint: Hint | None) -> str:
    """The sentence, and the flag that would help."""
    return message if hint is None else f"{message.rstrip('.')}; {_HINTS[hint]}."
