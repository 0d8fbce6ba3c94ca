"""Pictures of several kinds in one sequence, and what their files say of how they are seen."""

from pathlib import Path

import av
import numpy as np
import pytest

from edvr_cli.errors import InputError, OutputError
from edvr_cli.jobs.options import OutputOptions
from edvr_cli.jobs.restore_video import restore_video
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.options import Encoding
from tests.jobs.test_pipeline import LEAST
from tests.support.networks import Identity

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")

RAMP = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))
COLOR = np.dstack([RAMP, RAMP // 3, 255 - RAMP])
CORNER = np.zeros((16, 24, 3), np.uint8)
CORNER[:4, :4], CORNER[:, 12:] = 255, (200, 30, 30)


def restored(source: Path) -> list[Path]:
    """The pictures that come out of a folder: each pixel four times each way."""
    target = source.with_name("out")
    restore_video(source, target, model=Identity(LEAST))
    return sorted(target.iterdir())


def pixels(path: Path, mode: str) -> np.ndarray:
    """One of the pixels that each became."""
    return np.asarray(Image.open(path).convert(mode))[1::4, 1::4].astype(int)


def folder(path: Path, *pictures: object, names: tuple[str, ...] = ()) -> Path:
    """A folder of PNG pictures, numbered unless they have names."""
    path.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / (names[number] if names else f"{number:03}.png"))
    return path


@pytest.mark.parametrize("kind", ["alpha", "transparent", "deep"])
def test_gray_with_transparency_stays_gray(tmp_path: Path, kind: str):
    """As two channels, as one with a transparent value, and in 16 bits."""
    source = tmp_path / "in" / "0.png"
    source.parent.mkdir()
    alpha = np.linspace(255, 0, 24).astype(np.uint8)[:, None].repeat(32, 1)
    if kind == "alpha":
        Image.fromarray(np.dstack([RAMP, alpha]), "LA").save(source)
    elif kind == "transparent":
        Image.fromarray(RAMP).save(source, transparency=0)
    else:
        Image.fromarray(RAMP.astype(np.uint16) * 257).save(source)
    (result,) = restored(source.parent)
    before, after = Image.open(source), Image.open(result)
    assert after.mode == (before.mode if kind == "deep" else "LA")
    if kind == "deep":
        assert (np.asarray(after)[1::4, 1::4] == np.asarray(before)).all()
    else:
        difference = np.abs(pixels(result, "RGBA") - np.asarray(before.convert("RGBA")))
        assert difference[..., :3].max() == 0
        # Transparency is interpolated.
        assert difference[..., 3].max() <= (12 if kind == "alpha" else 255)


def test_gray_with_transparency_as_video(tmp_path: Path):
    """Gray there, too."""
    source = folder(tmp_path / "in", np.dstack([RAMP, np.full_like(RAMP, 255)]))
    restore_video(source, tmp_path / "out.mkv", model=Identity(LEAST), scale=1)
    info = probe(tmp_path / "out.mkv")
    assert info.color.matrix in (1, 5, 6)
    restore_video(tmp_path / "out.mkv", tmp_path / "frame.png", model=Identity(LEAST), scale=1)
    pixels = np.asarray(Image.open(tmp_path / "frame.png").convert("RGB")).astype(int)
    assert np.abs(pixels - RAMP[:, :, None]).max() < 8


def test_a_gray_first_picture_does_not_decide_for_all(tmp_path: Path):
    """A fade from black: optimizers store its first picture as gray."""
    results = restored(folder(tmp_path / "in", RAMP, COLOR, RAMP))
    assert (pixels(results[1], "RGB") == COLOR).all()
    assert (pixels(results[0], "RGB") == RAMP[:, :, None]).all()


@pytest.mark.parametrize("first", [RAMP, COLOR])
def test_transparency_and_depth_of_later_pictures_are_kept(tmp_path: Path, first: np.ndarray):
    """A picture with transparency, and one of 16 bits, behind one that has neither."""
    clear = np.dstack([COLOR, 255 - RAMP])
    deep = (RAMP.astype(np.uint16) * 257) ^ 0x55
    source = folder(tmp_path / "in", first, clear, deep)
    info = probe(source)
    assert (info.layout.alpha, info.layout.depth) == (True, 16)
    decoded = [in_16_bits(path) for path in restored(source)]
    assert (decoded[1][..., :3] == COLOR.astype(np.uint16) * 257).all()
    assert np.abs(decoded[1][..., 3].astype(int) - (255 - RAMP.astype(int)) * 257).max() <= 12 * 257
    assert (decoded[2][..., 0] == deep).all()
    assert (decoded[0][..., 3] == 65535).all()


def in_16_bits(path: Path) -> np.ndarray:
    """Red, green, blue and transparency of one of the pixels that each became."""
    frame = av.CodecContext.create("png", "r").decode(av.Packet(path.read_bytes()))[0]
    assert frame.format.name == "rgba64be"
    rows = np.frombuffer(frame.planes[0], ">u2").reshape(frame.height, -1)
    return rows[:, : 4 * frame.width].reshape(frame.height, frame.width, 4)[1::4, 1::4]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path: Path, suffix: str, orientation: int):
    """As their Exif data say, whatever their format: what comes out does not say it."""
    exif = Image.Exif()
    exif[274] = orientation
    source = tmp_path / "in"
    source.mkdir()
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 98, "subsampling": 0}}.get(suffix, {})
    Image.fromarray(CORNER).save(source / f"a{suffix}", exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(source / f"a{suffix}")).convert("RGB")).astype(int)
    (result,) = restored(source)
    found = pixels(result, "RGB")
    assert found.shape == expected.shape
    # Two decoders of JPEG round otherwise.
    assert np.abs(found - expected).max() <= (8 if suffix == ".jpg" else 0)


def test_suffixes_of_one_kind_are_one_kind(tmp_path: Path):
    """``.jpg`` and ``.jpeg``, ``.png`` and ``.PNG``."""
    assert len(restored(folder(tmp_path / "a", COLOR, COLOR, COLOR, names=("1.jpg", "2.jpeg", "3.JPG")))) == 3
    (tmp_path / "out").rename(tmp_path / "first")
    assert len(restored(folder(tmp_path / "b", COLOR, COLOR, names=("1.png", "2.PNG")))) == 2


@pytest.mark.parametrize("names", [("a.png", "a.PNG"), ("a.jpg", "a.jpeg")])
def test_two_pictures_that_would_become_one_are_refused(tmp_path: Path, names: tuple[str, str]):
    """Before the work; numbered output has room for both."""
    source = folder(tmp_path / "in", COLOR, COLOR, names=names)
    with pytest.raises(OutputError, match="would become one picture"):
        restored(source)
    assert not (tmp_path / "out").exists()
    restore_video(source, tmp_path / "out" / "%02d.png", model=Identity(LEAST), scale=1)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_wrong_suffix_is_looked_behind(tmp_path: Path):
    """Each picture is decoded as what it is."""
    source = tmp_path / "in"
    source.mkdir()
    for number, kind in enumerate(("png", "jpeg", "bmp", "webp", "tiff")):
        Image.fromarray(CORNER).save(source / f"{number}.png", format=kind)
    results = restored(source)
    assert len(results) == 5
    for path in results:
        assert np.abs(pixels(path, "RGB") - CORNER)[8:, 4:10].max() < 30


@pytest.mark.parametrize("name", ["%d.jpg", "%d.JPEG", "%d.webp"])
def test_pictures_are_written_with_a_loss_where_the_name_asks_for_it(tmp_path: Path, name: str):
    """Of a video too, at the quality that is asked for; another decoder sees the same colors."""
    source = folder(tmp_path / "in", COLOR, 255 - COLOR)
    sizes = []
    for number, crf in enumerate((None, 30)):
        target = tmp_path / str(number) / name
        target.parent.mkdir()
        restore_video(source, target, model=Identity(LEAST), output=OutputOptions(Encoding(crf=crf, pix_fmt=None)))
        results = sorted(target.parent.iterdir())
        assert len(results) == 2
        for result, before in zip(results, (COLOR, 255 - COLOR), strict=True):
            with Image.open(result) as image:
                assert image.format == ("WEBP" if name.endswith("webp") else "JPEG")
                after = np.asarray(image.convert("RGB")).astype(int)
            # Of each 4 × 4 pixels of one color, which a codec blurs: their mean.
            means = after.reshape(before.shape[0], 4, before.shape[1], 4, 3).mean((1, 3))
            assert np.abs(means.mean((0, 1)) - before.mean((0, 1))).max() < 3
            assert np.abs(means - before).mean() < 12
        sizes.append(sum(result.stat().st_size for result in results))
    assert sizes[1] < sizes[0]


def test_webp_can_be_without_loss_and_transparent(tmp_path: Path):
    """To the last bit of what is seen."""
    clear = np.dstack([COLOR, np.where(RAMP > 99, 255, 0).astype(np.uint8)])
    source = folder(tmp_path / "in", clear)
    encoding = Encoding(options={"lossless": "1"})
    restore_video(source, tmp_path / "out.webp", model=Identity(LEAST), output=OutputOptions(encoding))
    after = np.asarray(Image.open(tmp_path / "out.webp").convert("RGBA"))[1::4, 1::4]
    seen = (clear[..., 3] == 255) & (after[..., 3] == 255)
    assert seen.any() and (after[seen][:, :3] == COLOR[seen]).all()


def test_pictures_with_a_loss_become_lossless_ones_unasked(tmp_path: Path):
    """A second loss must be asked for."""
    source = folder(tmp_path / "in", COLOR, names=("a.jpg",))
    restore_video(source, tmp_path / "out", model=Identity(LEAST))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize("mode", ["RGB", "YCbCr", "L"])
def test_a_jpeg_in_a_tiff_is_refused(tmp_path: Path, mode: str):
    """FFmpeg would give a black picture."""
    path = tmp_path / "scan.tiff"
    Image.fromarray(RAMP).convert(mode).save(path, compression="jpeg")
    with pytest.raises(InputError, match=r"scan\.tiff is a TIFF that holds a JPEG.*save it as PNG"):
        probe(path)
