"""The networks that are measured, by name; torch is not loaded."""

from edvr_cli.network.config import EDVRConfig

__all__ = ["SIZES"]

SIZES = {
    "s": EDVRConfig(features=32, tail=32),
    "m": EDVRConfig(),
    "l": EDVRConfig(features=128, reconstruction_blocks=40),
}
"""Networks by name: the shipped small one, and the published EDVR-M and EDVR-L, for ×4 super-resolution."""
