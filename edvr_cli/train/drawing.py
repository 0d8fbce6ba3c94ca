"""Sharp pictures drawn by program: text, lines and shapes, which real footage shows too little of.

Also the letters themselves, for the labels of :mod:`edvr_cli.train.chart`.
"""

import numpy as np

__all__ = ["GLYPH_SIZE", "line_art", "text_bitmap"]

GLYPH_SIZE = 5, 3  # rows, columns
# Five rows of three bits each, one octal digit a row.
_GLYPHS = {
    **dict(zip("0123456789", "75557 26227 71747 71717 55711 74717 74757 71122 75757 75717".split(), strict=True)),
    **dict(zip("ABCDEFGHI", "25755 65656 34443 65556 74647 74644 34553 55755 72227".split(), strict=True)),
    **dict(zip("JKLMNOPQR", "11152 55655 44447 57755 65555 25552 65644 25573 65655".split(), strict=True)),
    **dict(zip("STUVWXYZ", "34216 72222 55557 55552 55775 55255 55222 71247".split(), strict=True)),
    **dict(zip(".-/:% ", "00002 00700 11244 02020 51245 00000".split(), strict=True)),
}


def text_bitmap(text: str, size: int = 1) -> np.ndarray:
    """``text`` in capitals as a (5·size, 4·size·length) bool array; what has no glyph is left blank."""
    rows = [[int(_GLYPHS.get(letter, "00000")[row]) for letter in text.upper()] for row in range(5)]
    bits = [[bool(value & bit) for value in row for bit in (4, 2, 1, 0)] for row in rows]
    return np.kron(np.array(bits), np.ones((size, size), bool))


def line_art(rng: np.random.Generator, side: int) -> np.ndarray:
    """A random (3, side, side) uint8 picture of shapes, lines and text in flat or shaded colors."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    picture = np.empty((3, side, side), np.float32)
    slope = rng.normal(scale=60 / side, size=(3, 2)).astype(np.float32)
    picture[:] = _color(rng) + slope[:, :1, None] * (y - side / 2) + slope[:, 1:, None] * (x - side / 2)
    for _ in range(rng.integers(6, 18)):
        draw = (_disk, _box, _lines, _text)[rng.integers(4)]
        cover = draw(rng, y, x)
        picture = picture * (1 - cover) + _color(rng) * cover
    return picture.round().clip(0, 255).astype(np.uint8)


def _color(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0, 255, size=(3, 1, 1)).astype(np.float32)


def _disk(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    side = len(x)
    center, radius = rng.uniform(0, side, size=2), rng.uniform(3, side / 5)
    inside = (radius - np.hypot(y - center[0], x - center[1]) + 0.5).clip(0, 1)
    if rng.random() < 0.5:  # a ring
        inside *= (np.hypot(y - center[0], x - center[1]) - radius + rng.uniform(1, 4)).clip(0, 1)
    return inside


def _box(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    side, angle = len(x), rng.uniform(0, np.pi)
    center, half = rng.uniform(0, side, size=2), rng.uniform(2, side / 5, size=2)
    u = (x - center[1]) * np.cos(angle) + (y - center[0]) * np.sin(angle)
    v = (y - center[0]) * np.cos(angle) - (x - center[1]) * np.sin(angle)
    return (half[0] - np.abs(u) + 0.5).clip(0, 1) * (half[1] - np.abs(v) + 0.5).clip(0, 1)


def _lines(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Parallel lines, as on facades and fabrics: what aliases most."""
    side, angle = len(x), rng.uniform(0, np.pi)
    pitch, width = rng.uniform(3, 24), rng.uniform(0.8, 3)
    u = x * np.cos(angle) + y * np.sin(angle)
    distance = np.abs((u + rng.uniform(0, pitch)) % pitch - pitch / 2)
    center, radius = rng.uniform(0, side, size=2), rng.uniform(side / 8, side / 3)
    window = np.maximum(np.abs(y - center[0]), np.abs(x - center[1])) < radius
    return (width / 2 - distance + 0.5).clip(0, 1) * window


def _text(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
    words = "".join(rng.choice(letters, size=rng.integers(3, 12)))
    bitmap = text_bitmap(words, size=int(rng.integers(1, 5))).astype(np.float32)
    cover = np.zeros_like(x)
    top, left = rng.integers(0, len(x), size=2)
    height, width = min(bitmap.shape[0], len(x) - top), min(bitmap.shape[1], len(x) - left)
    cover[top : top + height, left : left + width] = bitmap[:height, :width]
    return cover
