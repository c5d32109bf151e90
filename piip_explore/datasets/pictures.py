"""Pictures and masks from files: upright, 8 bits a channel, or one sentence that says what is wrong with which file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from piip_explore.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""The endings of the pictures that are read, in any case."""

Size = tuple[int, int]
"""Width and height in pixels."""

_ORIENTATION = 274
"""The EXIF tag that says how a camera was held."""
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows a stored picture as its camera saw it, by orientation (EXIF 2.32, section 4.6.4)."""

_BLACK = 4096
"""16-bit values below this are of a sensor of 12 bits or fewer: divided by 256 they would be black."""


def read_picture(path: Path) -> Image.Image:
    """Return a picture in RGB, turned upright as its EXIF orientation says.

    Raises:
        InputError: it is missing, damaged, no picture, or has pixels without a defined range; the sentence names it.
    """
    picture, orientation = _decoded(path)
    return _turned(picture, orientation)


def read_annotated(path: Path, drawn: Size | None, what: str) -> Image.Image:
    """Return a picture in RGB, turned as it was when boxes or a mask were drawn on it.

    Annotations are drawn on a picture as it is shown, or as it is stored. Its size then tells which.

    Args:
        path: the picture.
        drawn: the size that the annotations were drawn at, if it is known.
        what: says in an error what has that size.

    Raises:
        InputError: as `read_picture`; or the picture has another size, or is turned in a way that the size does not
            tell.
    """
    picture, orientation = _decoded(path)
    upright = _turned(picture, orientation)
    if drawn is not None and drawn not in (picture.size, upright.size):
        raise InputError(f"{what} is {drawn[0]} x {drawn[1]}, its image '{path}' {upright.width} x {upright.height}")
    if orientation not in _TURN:
        return picture
    if drawn is None or picture.size == upright.size:
        raise InputError(
            f"'{path}' is stored turned (EXIF orientation {orientation}), and nothing tells whether its annotations "
            "follow the picture as stored or as shown: save it upright, or without the tag"
        )
    return upright if drawn == upright.size else picture


def read_mask(path: Path) -> np.ndarray:
    """Return a mask's class indices, (height, width) int32: the pixels of a palette, grey or 1-bit picture as they are.

    Raises:
        InputError: as `read_picture`, or it has several channels or fractions.
    """
    with _opened(path) as mask:
        mask.load()
        if mask.mode not in ("1", "L", "P", "I") and not mask.mode.startswith("I;16"):
            raise InputError(f"'{path}' has {mask.mode} pixels: a mask needs one class index per pixel")
        return np.asarray(_turned(mask, _orientation(mask))).astype(np.int32)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; whatever goes wrong until it is closed becomes a sentence that names it."""
    try:
        with Image.open(path) as picture:
            yield picture
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no picture '{path}'") from None
    except UnidentifiedImageError:
        raise InputError(f"'{path}' is not a picture that can be read") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise InputError(
            f"'{path}' has more than {limit} million pixels: cut it into tiles, or make it smaller"
        ) from None
    except MemoryError:
        raise InputError(f"'{path}' does not fit into memory: make it smaller") from None
    except Exception as error:  # whatever the bytes of a damaged file, or the letters of its name, make a decoder raise
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"cannot read '{path}': {error.strerror}") from None
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise InputError(f"'{path}' is damaged, or cannot be read: {reason}") from None


def _decoded(path: Path) -> tuple[Image.Image, int]:
    """Return a picture's RGB pixels as they are stored, and its EXIF orientation."""
    with _opened(path) as picture:
        picture.load()
        return _rgb(picture, path), _orientation(picture)


def _rgb(picture: Image.Image, path: Path) -> Image.Image:
    if picture.mode in ("I", "F"):
        kind = "32-bit integer" if picture.mode == "I" else "floating-point"
        raise InputError(f"'{path}' has {kind} pixels, whose range is not known: save it with 8 or 16 bits a channel")
    if not picture.mode.startswith("I;16"):
        return picture.convert("RGB")
    values = np.asarray(picture).astype(np.uint16)
    if 0 < values.max() < _BLACK:
        raise InputError(
            f"'{path}' has 16-bit pixels of no more than {values.max()} of 65535, which would leave it black: "
            "stretch it, or save it with 8 bits a channel"
        )
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(_TURN[orientation]) if orientation in _TURN else picture
