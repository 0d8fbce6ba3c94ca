"""What pictures mean that do not say it, and pictures of which a part is missing."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from edvr_cli.errors import InputError
from edvr_cli.events import Notice
from edvr_cli.video.clip_folders import read_frames
from edvr_cli.video.exif import has_exif
from edvr_cli.video.image_sequences import decode_images
from edvr_cli.video.reading.sources import probe
from tests.jobs.test_pipeline import LEAST
from tests.support.networks import Identity
from tests.support.run import restore

RAMPS = np.stack(np.broadcast_arrays(*np.ogrid[0:256:4, 0:256:2], np.full((64, 128), 60)), axis=-1).astype(np.uint8)
NOISE = np.random.default_rng(8).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    """A file as Pillow writes it, with chroma halved both ways unless said otherwise."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=95, **options)
    return data.getvalue()


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_a_jpeg_s_chroma_lies_between_its_pixels(tmp_path: Path, subsampling: str):
    """As JFIF says: edges of color lie where another program has them, not a quarter of a pixel beside."""
    stripes = np.zeros((48, 64, 3), dtype=np.uint8)
    stripes[:, :, 0] = 127 + 60 * np.sin(np.arange(64) / 6)
    stripes[:, :, 2] = 127 - 60 * np.sin(np.arange(64) / 6)
    path = tmp_path / "in.jpg"
    path.write_bytes(jpeg(stripes, subsampling=subsampling))
    assert probe(path).color.chroma_location == "center"
    found = next(read_frames(path)).permute(1, 2, 0).numpy()
    with Image.open(path) as opened:
        expected = np.asarray(opened).astype(float)
    assert np.abs(found - expected)[8:-8, 8:-8].mean() < 1


def avif(path: Path, *, full_range: bool) -> Path:
    """A picture whose samples are limited by the coded picture; the file names ``full_range`` and nothing else."""
    with av.open(str(path), "w", format="avif") as output:
        stream = output.add_stream("libsvtav1", 25, options={"crf": "5", "preset": "12"})
        stream.height, stream.width = RAMPS.shape[:2]
        stream.pix_fmt = "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(RAMPS, format="rgb24")))
        output.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    at = data.index(b"colrnclx") + 8
    data[at : at + 7] = bytes((0, 2, 0, 2, 0, 2, 0x80 if full_range else 0))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("full_range", [True, False])
def test_what_an_avif_file_says_counts_and_the_rest_is_as_in_a_jpeg(tmp_path: Path, full_range: bool):
    """Range, matrix of BT.601, sRGB, centered chroma, whatever the size."""
    color = probe(avif(tmp_path / "in.avif", full_range=full_range)).color
    assert (color.full_range, color.matrix, color.primaries, color.transfer) == (full_range, 5, 1, 13)
    assert color.chroma_location == "center" and not color.assumed


def test_an_untagged_avif_has_the_colors_that_another_program_shows(tmp_path: Path):
    """Pillow's, which are libavif's."""
    path = avif(tmp_path / "in.avif", full_range=True)
    found = next(read_frames(path)).permute(1, 2, 0).numpy()
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB")).astype(float)
    assert np.abs(found - expected).mean() < 1.5


@pytest.mark.parametrize(("what", "instead"), [(b"meta", b"mini"), (b"av01", b"unci")])
def test_a_picture_that_ffmpeg_cannot_read_is_called_one(tmp_path: Path, what: bytes, instead: bytes):
    """And neither an unfinished recording nor a video."""
    path = avif(tmp_path / "in.avif", full_range=True)
    path.write_bytes(path.read_bytes().replace(what, instead))
    with pytest.raises(
        InputError, match=r"in\.avif is a HEIF or AVIF picture of a kind that cannot be read.* make a PNG"
    ):
        probe(path)


def broken_jpegs() -> dict[str, bytes]:
    """Files that end early, or are wrong within."""
    baseline, progressive = jpeg(NOISE), jpeg(NOISE, progressive=True)
    wrong = bytearray(baseline)
    wrong[len(wrong) // 2 : len(wrong) // 2 + 40] = b"\xff\x00" * 20
    return {
        "half": baseline[: len(baseline) // 2],
        "half of a progressive one": progressive[: len(progressive) // 2],
        "wrong within": bytes(wrong),
    }


def whole_jpegs() -> dict[str, bytes]:
    """Files of which nothing is missing, whatever else is in them."""
    plain = jpeg(NOISE)
    thumbnail = plain[:2] + b"\xff\xe1" + (len(plain) + 2).to_bytes(2) + plain + plain[2:]
    return {
        "progressive": jpeg(NOISE, progressive=True),
        "thumbnail": thumbnail,
        "video behind": plain + b"ftypmp42" * 20,
    }


@pytest.mark.parametrize("name", [*broken_jpegs(), *whole_jpegs()])
def test_a_jpeg_that_is_damaged_is_told_from_a_whole_one(tmp_path: Path, name: str):
    """FFmpeg fills up what is missing without a word."""
    path = tmp_path / "in.jpg"
    path.write_bytes({**broken_jpegs(), **whole_jpegs()}[name])
    told: list[str] = []
    assert len(list(decode_images([path], on_warning=told.append))) == 1
    assert bool(told) == (name in broken_jpegs())


def test_a_picture_of_which_a_part_is_missing_is_said(tmp_path: Path):
    """It is restored, like a video with a damaged packet."""
    (tmp_path / "in").mkdir()
    whole = jpeg(NOISE)
    for number, data in enumerate([whole, whole[: len(whole) // 2], whole]):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(data)
    told: list[str] = []
    restore(
        tmp_path / "in",
        tmp_path / "out",
        model=Identity(LEAST),
        on_event=lambda event: told.append(event.message) if isinstance(event, Notice) else None,
    )
    (said,) = (message for message in told if "breaks off" in message)
    assert said.startswith(f"{tmp_path / 'in' / '1.jpg'} is damaged")
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("target", ["out.png", "out.mp4"])
def test_exif_data_that_are_dropped_are_said(tmp_path: Path, suffix: str, target: str):
    """Where pictures are made of pictures; nobody looks for them in a video."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    said: dict[str, list[str]] = {"with": [], "without": []}
    for name, sentences in said.items():
        source = tmp_path / f"{name}{suffix}"
        Image.fromarray(NOISE).save(source, **({"exif": exif} if name == "with" else {}))
        assert has_exif(source.read_bytes()) == (name == "with")
        restore(
            source,
            tmp_path / f"{name}_{target}",
            model=Identity(LEAST),
            on_event=lambda event, to=sentences: to.append(event.message) if isinstance(event, Notice) else None,
        )
    assert any("Exif" in sentence for sentence in said["with"]) == (target == "out.png")
    assert not any("Exif" in sentence for sentence in said["without"])


def test_a_cut_picture_has_no_exif_data():
    """And nothing has that is no picture."""
    assert not has_exif(jpeg(NOISE)[:5])
    assert not has_exif(b"")
