"""Pictures as they train: upright, with their range, and every bad file named in one sentence."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from piip_explore.datasets.pictures import read_annotated, read_mask, read_picture
from piip_explore.errors import InputError

UPRIGHT = Image.new("RGB", (48, 64), (0, 0, 200))
ImageDraw.Draw(UPRIGHT).rectangle((4, 40, 19, 59), fill=(255, 0, 0))

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores what it shows upright, by the orientation that it writes."""


def photograph(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[274] = orientation
    turn = STORED[orientation]
    (UPRIGHT if turn is None else UPRIGHT.transpose(turn)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_read_as_it_is_shown(orientation, suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    turn = STORED[orientation]
    stored = UPRIGHT if turn is None else UPRIGHT.transpose(turn)
    stored.save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    assert np.array_equal(np.asarray(read_picture(path)), np.asarray(UPRIGHT))


def test_annotations_follow_the_picture_whose_size_they_have(tmp_path):
    path = photograph(tmp_path / "a.png", 6)
    stored = UPRIGHT.transpose(Image.Transpose.ROTATE_90)
    assert np.array_equal(np.asarray(read_annotated(path, (48, 64), "its mask")), np.asarray(UPRIGHT))
    assert np.array_equal(np.asarray(read_annotated(path, (64, 48), "its mask")), np.asarray(stored))
    with pytest.raises(InputError, match=r"its mask is 96 x 128, its image .*a\.png' 48 x 64"):
        read_annotated(path, (96, 128), "its mask")


@pytest.mark.parametrize(("orientation", "drawn"), [(3, (48, 64)), (2, (48, 64)), (6, None)])
def test_annotations_are_not_guessed_onto_a_turned_picture(orientation, drawn, tmp_path):
    path = photograph(tmp_path / "a.png", orientation)
    with pytest.raises(InputError, match=r"a\.png' is stored turned \(EXIF orientation"):
        read_annotated(path, drawn, "its mask")


def test_a_damaged_exif_block_turns_nothing(tmp_path):
    UPRIGHT.save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_picture(tmp_path / "a.png").size == UPRIGHT.size


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_their_range(suffix, tmp_path):
    ramp = np.linspace(0, 60000, 3072).reshape(48, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / f"a.{suffix}")
    seen = np.asarray(read_picture(tmp_path / f"a.{suffix}"))
    assert np.array_equal(seen, np.repeat((ramp // 256)[..., None], 3, 2))


def test_big_endian_pixels_are_the_same(tmp_path):
    values = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    Image.frombytes("I;16B", (8, 8), values.astype(">u2").tobytes()).save(tmp_path / "a.tif")
    assert np.array_equal(np.asarray(read_picture(tmp_path / "a.tif"))[..., 0], values >> 8)


def _latin(folder: Path) -> Path:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))
    path.write_bytes(b"no picture")
    return path


def _text(folder: Path) -> Path:
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("x", "a" * (70 << 20), zip=True)
    UPRIGHT.save(folder / "a.png", pnginfo=chunk)
    return folder / "a.png"


def _saved(picture: Image.Image, name: str, cut: int | None = None):
    def save(folder: Path) -> Path:
        picture.save(folder / name)
        if cut:
            (folder / name).write_bytes((folder / name).read_bytes()[:cut])
        return folder / name

    return save


def _bytes(content: bytes):
    def save(folder: Path) -> Path:
        (folder / "a.png").write_bytes(content)
        return folder / "a.png"

    return save


UNREADABLE = {
    "missing": (lambda folder: folder / "gone.png", "there is no picture"),
    "a folder": (lambda folder: folder, "cannot read .*directory"),
    "a name with a NUL": (lambda folder: folder / "a\0.png", "null"),
    "a name too long": (lambda folder: folder / f"{'a' * 300}.png", "cannot read .*too long"),
    "a web page": (_bytes(b"<html>"), "not a picture"),
    "empty": (_bytes(b""), "not a picture"),
    "a Latin-1 name": (_latin, "not a picture"),
    "truncated": (_saved(Image.effect_noise((300, 300), 90), "a.jpg", 3000), "damaged"),
    "200 megapixels": (_saved(Image.new("1", (20000, 10000)), "a.png"), "million pixels"),
    "a text of 70 MB": (_text, "cannot be read"),
    "floating point": (_saved(Image.fromarray(np.ones((4, 4), np.float32)), "a.tif"), "floating-point"),
    "32-bit integers": (_saved(Image.fromarray(np.ones((4, 4), np.int32)), "a.tif"), "32-bit integer"),
    "12 bits in 16": (_saved(Image.fromarray(np.full((4, 4), 4095, np.uint16)), "a.png"), "no more than 4095"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_named_in_a_sentence(case, tmp_path):
    make, words = UNREADABLE[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=words) as refusal:
        read_picture(path)
    assert path.name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("damage", range(40))
def test_damaged_bytes_are_pixels_or_a_sentence(damage, tmp_path):
    random = np.random.default_rng(damage)
    path = tmp_path / f"a.{['jpg', 'png', 'tif', 'webp', 'bmp'][damage % 5]}"
    Image.effect_noise((40, 30), 90).convert("RGB").save(path)
    content = bytearray(path.read_bytes())
    for place in random.integers(0, min(len(content), 400), 6):
        content[place] = random.integers(256)
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert read_picture(path).mode == "RGB"


@pytest.mark.parametrize("mode", ["L", "P", "1", "I", "I;16"])
def test_masks_are_indices_whatever_holds_them(mode, tmp_path):
    index = np.array([[0, 1], [1, 0]], np.uint16 if mode == "I;16" else np.int32 if mode == "I" else np.uint8)
    mask = Image.fromarray(index * 255, "L").convert("1") if mode == "1" else Image.fromarray(index)
    if mode == "P":
        mask.putpalette([9, 9, 9, 200, 0, 0])
    mask.save(tmp_path / ("m.tif" if mode == "I" else "m.png"))
    assert read_mask(tmp_path / ("m.tif" if mode == "I" else "m.png")).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_masks_of_several_channels_are_refused(mode, tmp_path):
    Image.new(mode, (4, 4)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=rf"m\.png' has {mode} pixels"):
        read_mask(tmp_path / "m.png")
