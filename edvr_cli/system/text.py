"""Text for people: numbers in suitable units, and safe display of text from files.

A terminal takes control characters for commands, and some invisible characters turn the order of what is read.
"""

import unicodedata

__all__ = ["first_line", "format_bytes", "format_duration", "format_estimate", "printable"]

# Marks and isolates that change the direction of the text around them, so that a name looks like another.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """``text`` without control characters; line ends and tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\t\n\r\x0b\x0c\x85\u2028\u2029":
        return " "
    # Cc: controls, those of C1 included; Cs is for names that are not UTF-8, which the output's encoding deals with.
    hidden = unicodedata.category(character) == "Cc" or character in _DIRECTIONS
    return "" if hidden else character


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


def format_estimate(seconds: float) -> str:
    """An estimate, rounded to what is known: ``about 40 s``, ``about 2 min 10 s``, ``about 35 min``, ``about 3 h``."""
    if seconds < 10 * 60:
        rounded = max(5, round(seconds / 5) * 5)
        minutes, rest = divmod(rounded, 60)
        parts = [f"{minutes} min"] * bool(minutes) + [f"{rest:02} s" if minutes else f"{rest} s"] * bool(rest)
    else:
        step = 1 if seconds < 3600 else 5 if seconds < 6 * 3600 else 60
        hours, minutes = divmod(round(seconds / 60 / step) * step, 60)
        parts = [f"{hours} h"] * bool(hours) + [f"{minutes:02} min" if hours else f"{minutes} min"] * bool(minutes)
    return f"about {' '.join(parts)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters; its type where there is no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
