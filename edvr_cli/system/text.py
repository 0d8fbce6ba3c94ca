"""Values as text for people."""

__all__ = ["first_line", "format_bytes", "format_duration"]


def format_bytes(count: float) -> str:
    """Bytes in a suitable unit: ``800 kB``, ``2.5 GB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_duration(seconds: float) -> str:
    """Seconds in suitable units: ``12.5 s``, ``3 min 05 s``, ``2 h 07 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters; its type where there is no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
