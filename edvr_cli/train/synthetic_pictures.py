"""Sharp drawn pictures: text, lines and shapes, which are rare in real footage."""

import numpy as np

__all__ = ["GLYPH_SIZE", "line_art", "text_bitmap"]

GLYPH_SIZE = 5, 3  # rows, columns
# Five rows of three bits each, one octal digit a row.
_FONT = """
0 75557  1 26227  2 71747  3 71717  4 55711  5 74717  6 74757  7 71122  8 75757  9 75717
A 25755  B 65656  C 34443  D 65556  E 74647  F 74644  G 34553  H 55755  I 72227
J 11152  K 55655  L 44447  M 57755  N 65555  O 25552  P 65644  Q 25573  R 65655
S 34216  T 72222  U 55557  V 55552  W 55775  X 55255  Y 55222  Z 71247
. 00002  - 00700  / 11244  : 02020  % 51245
"""
_GLYPHS = dict(zip(_FONT.split()[::2], _FONT.split()[1::2], strict=True))


def text_bitmap(text: str, size: int = 1) -> np.ndarray:
    """``text`` in capitals as a (5·size, 4·size·length) bool array; characters without a glyph are blank."""
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
    """Parallel lines, as on facades and fabrics, which alias most."""
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
