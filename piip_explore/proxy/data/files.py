"""What the sources of a user's own files share: reading pictures, making them square, choosing and naming them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from piip_explore.errors import InputError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_THREADS = 8
_GREY = (124, 116, 104)
"""The padding's colour: the mean of natural photographs."""

T = TypeVar("T")
R = TypeVar("R")


def read_picture(path: Path, mode: str = "RGB") -> Image.Image:
    """Return a decoded picture.

    Raises:
        InputError: it is missing, no picture, or damaged; the sentence names the file.
    """
    try:
        with Image.open(path) as picture:
            if mode == "L" and picture.mode not in ("L", "P", "1", "I", "I;16"):
                raise InputError(f"'{path}' has {picture.mode} pixels: a mask needs one class index per pixel")
            return picture.convert(mode) if mode == "RGB" else picture.copy()
    except FileNotFoundError:
        raise InputError(f"there is no picture '{path}'") from None
    except UnidentifiedImageError:
        raise InputError(f"'{path}' is not a picture that can be read") from None
    except (OSError, SyntaxError) as error:
        raise InputError(f"'{path}' is damaged: {error}") from None


def check_pictures(paths: Iterable[Path]) -> None:
    """Raise `InputError` for the first picture whose header cannot be read."""

    def check(path: Path) -> None:
        try:
            with Image.open(path) as picture:
                picture.size  # noqa: B018 - reads the header
        except FileNotFoundError:
            raise InputError(f"there is no picture '{path}'") from None
        except (UnidentifiedImageError, OSError, SyntaxError):
            raise InputError(f"'{path}' is not a picture that can be read") from None

    in_threads(check, paths)


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return `work` of every item, in order; the first exception is raised."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, items))


def fit(width: int, height: int, size: int) -> tuple[float, int, int]:
    """Return the scale, width and height of a picture whose longer side becomes `size`."""
    scale = size / max(width, height)
    return scale, max(1, round(width * scale)), max(1, round(height * scale))


def letterbox(picture: Image.Image, size: int) -> np.ndarray:
    """Return a picture in the upper left of a grey square, (3, size, size) uint8."""
    _, width, height = fit(*picture.size, size)
    square = Image.new("RGB", (size, size), _GREY)
    square.paste(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0))
    return np.asarray(square).transpose(2, 0, 1)


def center_crop(picture: Image.Image, size: int) -> np.ndarray:
    """Return the largest central square of a picture, resized, (3, size, size) uint8."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=box)).transpose(2, 0, 1)


def folder(path: Path, what: str) -> Path:
    """Return `path` if it is a folder.

    Raises:
        InputError: it is not there; the sentence says what it should hold.
    """
    if not path.is_dir():
        raise InputError(f"there is no folder '{path}': expected {what}")
    return path


def pictures_in(path: Path) -> list[Path]:
    """Return the pictures of a folder by name.

    Raises:
        InputError: there are none.
    """
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
    if not found:
        raise InputError(f"there are no pictures in '{path}': expected files ending in {', '.join(PICTURES)}")
    return found


def chosen(items: Sequence[T], count: int) -> list[T]:
    """Return `count` of the items (all, if there are fewer), the same ones every time, spread over the sequence."""
    order = np.random.default_rng(0).permutation(len(items))[:count]
    return [items[n] for n in order]


def fingerprint(paths: Iterable[Path], *texts: bytes) -> str:
    """Return a name for files by their names and sizes, and for texts by their content.

    Raises:
        InputError: a file is missing.
    """
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text).digest())
    for path in paths:
        try:
            digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode())
        except FileNotFoundError:
            raise InputError(f"there is no picture '{path}'") from None
    return digest.hexdigest()[:16]
