"""Color profiles of pictures arrive in the pictures made from them, as a second program reads them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from edvr_cli.events import Notice
from edvr_cli.video.color_profiles import profile_in, profile_name, samples_of, with_profile
from tests.jobs.test_pipeline import LEAST
from tests.support.color_profile import profile
from tests.support.networks import Identity
from tests.support.run import restore

PICTURE = np.random.default_rng(5).integers(0, 256, (16, 24, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(path: Path, icc: bytes | None, mode: str = "RGB") -> Path:
    """A picture of 24×16 pixels, as Pillow writes it."""
    made = Image.fromarray(PICTURE).convert(mode)
    made.save(path, **({} if icc is None else {"icc_profile": icc}))
    return path


def restored(source: Path, target: Path) -> list[str]:
    """``source`` through the identity network; returns what was said about color profiles."""
    told: list[str] = []
    restore(
        source,
        target,
        model=Identity(LEAST),
        on_event=lambda event: told.append(event.message) if isinstance(event, Notice) else None,
    )
    return [message for message in told if "profile" in message]


def profile_of(path: Path) -> bytes | None:
    """As Pillow finds it in a picture that it can decode."""
    with Image.open(path) as opened:
        opened.load()
        return opened.info.get("icc_profile")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".webp"])
@pytest.mark.parametrize("into", [".png", ".jpg", ".tif", ".webp"])
def test_a_profile_is_kept_whatever_the_format(tmp_path: Path, suffix: str, into: str):
    """Byte for byte, also where it needs several segments of a JPEG or has an odd length."""
    icc = profile(size=150_001)
    target = tmp_path / f"out{into}"
    assert restored(picture(tmp_path / f"in{suffix}", icc), target) == []
    assert profile_of(target) == icc


def test_samples_are_the_same_with_a_profile(tmp_path: Path):
    """The profile is put beside them."""
    for icc in (None, profile()):
        name = "with" if icc else "without"
        restored(picture(tmp_path / f"{name}.png", icc), tmp_path / f"{name}.tiff")
    pair = [np.asarray(Image.open(tmp_path / f"{name}.tiff")) for name in ("with", "without")]
    assert (pair[0] == pair[1]).all()


def test_each_picture_keeps_its_own_profile(tmp_path: Path):
    """And one without gets none."""
    (tmp_path / "in").mkdir()
    profiles = [profile("one"), None, profile("three")]
    for number, icc in enumerate(profiles):
        picture(tmp_path / "in" / f"{number}.png", icc)
    restored(tmp_path / "in", tmp_path / "out")
    assert [profile_of(path) for path in sorted((tmp_path / "out").iterdir())] == profiles


def test_a_picture_in_a_video_file_keeps_its_profile(tmp_path: Path):
    """AVIF is read as the video that it is inside."""
    restored(picture(tmp_path / "in.avif", profile()), tmp_path / "out.png")
    assert profile_of(tmp_path / "out.png") == profile()
    (said,) = restored(tmp_path / "in.avif", tmp_path / "out.mkv")
    assert "Display P3" in said


def test_gray_pictures_keep_a_profile_of_gray(tmp_path: Path):
    """It belongs to gray samples, and those stay gray."""
    icc = profile("Dot Gain 20%", b"GRAY")
    restored(picture(tmp_path / "in.png", icc, "L"), tmp_path / "out.png")
    assert profile_of(tmp_path / "out.png") == icc


def test_a_profile_of_other_samples_is_not_put_on(tmp_path: Path):
    """A viewer would refuse it, or show anything."""
    (said,) = restored(picture(tmp_path / "in.png", profile("Dot Gain 20%", b"GRAY")), tmp_path / "out.png")
    assert profile_of(tmp_path / "out.png") is None
    assert "Dot Gain 20%" in said
    assert "GRAY" in said


@pytest.mark.parametrize(("icc", "said"), [(profile(), True), (SRGB, False), (None, False)])
def test_a_video_cannot_have_it_and_that_is_said(tmp_path: Path, icc: bytes | None, said: bool):
    """Unless it is the one that is assumed anyway."""
    told = restored(picture(tmp_path / "in.png", icc), tmp_path / "out.mp4")
    assert any("Display P3" in message for message in told) == said


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [True, False])
def test_a_profile_in_any_webp(mode: str, lossless: bool):
    """Whatever header it had: a picture that was simple, or transparent, is the same with a profile."""
    plain = io.BytesIO()
    before = Image.fromarray(PICTURE).convert(mode)
    if mode == "RGBA":
        before.putalpha(Image.fromarray(PICTURE[..., 0]))
    before.save(plain, "webp", lossless=lossless)
    both = Image.open(io.BytesIO(plain.getvalue())), Image.open(io.BytesIO(with_profile(plain.getvalue(), profile())))
    assert both[1].info["icc_profile"] == profile()
    assert both[0].size == both[1].size
    assert (np.asarray(both[0]) == np.asarray(both[1])).all()


def test_damaged_pictures_have_no_profile():
    """Cut anywhere, none of them raises; what is not a profile is none."""
    for kind in ("png", "jpeg", "tiff", "webp"):
        file = io.BytesIO()
        Image.fromarray(PICTURE).save(file, kind, icc_profile=profile())
        whole = file.getvalue()
        assert profile_in(whole) == profile()
        for length in range(0, len(whole), 7):
            assert profile_in(whole[:length]) in (None, profile())
        assert profile_in(whole.replace(b"acsp", b"xxxx")) is None or kind == "png"  # a PNG's is compressed
    assert profile_in(b"") is None


def test_names_of_profiles():
    """In both versions of the format, and where there is none."""
    assert profile_name(profile()) == "Display P3"
    assert "sRGB" in profile_name(SRGB)
    old = bytearray(profile())
    old[144:] = b"desc\0\0\0\0" + struct.pack(">I", 10) + b"Adobe RGB\0"
    assert profile_name(bytes(old)) == "Adobe RGB"
    assert profile_name(bytes(128)) == ""
    assert samples_of(profile()) == "RGB"


def test_a_profile_goes_before_other_words_about_color(tmp_path: Path):
    """Of which viewers would prefer some: in a PNG none is left beside it."""
    plain = io.BytesIO()
    Image.fromarray(PICTURE).save(plain, "png", icc_profile=profile("before"))
    whole = plain.getvalue()
    for kind, content in ((b"cICP", bytes((9, 16, 0, 1))), (b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0")):
        chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        whole = whole[:33] + chunk + whole[33:]
    changed = with_profile(whole, profile())
    assert not any(kind in changed for kind in (b"cICP", b"gAMA", b"sRGB"))
    opened = Image.open(io.BytesIO(changed))
    assert opened.info["icc_profile"] == profile()
    assert (np.asarray(opened) == PICTURE).all()


def test_what_holds_no_profile_stays_as_it_is():
    """Other kinds of files are not touched."""
    assert with_profile(b"v/1\1anything", profile()) == b"v/1\1anything"
