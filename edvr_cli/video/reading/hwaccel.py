"""Decoding devices: GPUs and the like."""

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from edvr_cli.errors import InputError

# Tried in this order for "auto": what a machine with several has fastest comes first.
_PREFERRED = ("cuda", "videotoolbox", "qsv", "vaapi", "d3d11va", "d3d12va", "vulkan")


def hardware_decoder(name: str, codec: av.Codec) -> HWAccel | None:
    """The device called ``name``, or the first for ``auto``, that decodes ``codec`` here; None where none does.

    Raises InputError for a name that this FFmpeg does not know.
    """
    known = hwdevices_available()
    if name != "auto" and name not in known:
        raise InputError(f"unknown decoding device {name!r}; this FFmpeg knows auto, {', '.join(known)}.")
    for kind in [kind for kind in _PREFERRED if kind in known] if name == "auto" else [name]:
        device = HWAccel(kind, allow_software_fallback=True)
        try:
            device.create(codec)
        except (av.FFmpegError, NotImplementedError, RuntimeError, ValueError):  # No driver, or not this codec.
            continue
        return device
    return None
