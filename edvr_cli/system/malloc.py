"""Settings of the C library's memory allocator."""

import ctypes

__all__ = ["keep_memory"]


def keep_memory() -> None:
    """Keep freed memory for the next frame; a setting of the whole process, for commands.

    Otherwise the C library gives large blocks back to Linux as they are freed, and Linux clears every page
    again: a seventh of the time per frame in fp32. Does nothing with other C libraries than glibc.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for option, value in ((-4, 0), (-1, -1)):  # M_MMAP_MAX: no separate blocks; M_TRIM_THRESHOLD: never
        set_option(option, value)
