"""What a decoded frame carries beside its samples: how it is turned, its mastering display, captions, and so on."""

import ctypes
import gc
from typing import Any, cast

from av.dictionary import Dictionary
from av.sidedata import sidedata
from av.video.frame import VideoFrame

__all__ = ["side_data"]

# Kinds that FFmpeg 8 has and PyAV 18 has no names for.
_NEWER_KINDS = {28: "LCEVC", 29: "VIEW_ID", 30: "3D_REFERENCE_DISPLAYS", 31: "EXIF"}


def side_data(frame: VideoFrame, name: str) -> bytes | None:
    """One piece of a frame's side data by libav's name, or None."""
    found = next((piece for piece in _pieces(frame) if piece.type.name == name), None)
    return None if found is None else bytes(found)


def _pieces(frame: VideoFrame) -> list[Any]:
    every: Any = frame.side_data
    # PyAV 18 iterates over the pieces, PyAV 19 over their kinds; its length is the number of kinds, not of pieces.
    pieces = [item if hasattr(item, "type") else every[item] for item in every]
    for piece in pieces:
        _keep_tags(piece)
    return pieces


def _keep_tags(piece: Any) -> None:
    """Keep Python from freeing the tags of a piece of side data, which belong to the frame and are freed with it.

    PyAV 14 to 19 frees them a second time, which ends the process sooner or later. The color profile of a PNG has such
    a tag: its name. What is kept is an object of some 60 bytes.
    """
    for tags in gc.get_referents(piece):
        if isinstance(tags, Dictionary) and len(tags):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(tags))


def _unnamed_kind(kind: object) -> sidedata.Type | None:
    """A member of PyAV's enumeration for a kind that it lacks, without which no side data of the frame can be had."""
    if not isinstance(kind, int):
        return None
    member: Any = object.__new__(sidedata.Type)
    member._name_ = _NEWER_KINDS.get(kind, f"UNKNOWN_{kind}")
    member._value_ = kind
    return cast(sidedata.Type, member)


sidedata.Type._missing_ = staticmethod(_unnamed_kind)  # type: ignore[method-assign,assignment]
