"""A user's segmentation data: folders of images and of masks of the same names, as ADE20K has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from piip_explore.errors import InputError
from piip_explore.proxy.data.cache import cached
from piip_explore.proxy.data.files import (
    check_pictures,
    chosen,
    fingerprint,
    fit,
    folder,
    in_threads,
    letterbox,
    pictures_in,
    read_picture,
)
from piip_explore.proxy.data.source import IGNORE, Annotation, Samples, Split, make_samples

_FOLDERS: dict[Split, str] = {"train": "training", "val": "validation"}
_CLASSES = 150


@dataclass(frozen=True)
class MaskFolder:
    """`root` with `images/training`, `images/validation` and `annotations/...`: one PNG of class indices per image.

    Index 0 is no class and neither trains nor scores; 1 is the first class. Names come from `classes.txt`, one per
    line; without it there are ADE20K's 150. Images keep their shape in the upper left of a square whose rest is not
    scored.
    """

    root: Path

    @property
    def id(self) -> str:
        """Names and sizes of images and masks, and the classes."""
        return _identity(self.root, self.classes("masks"))

    @property
    def provides(self) -> frozenset[Annotation]:
        """Masks."""
        return frozenset({"masks"})

    def classes(self, annotation: Annotation) -> tuple[str, ...]:
        """Return the names in `classes.txt`, or 150 numbered ones."""
        path = self.root / "classes.txt"
        if not path.exists():
            return tuple(f"class-{n + 1}" for n in range(_CLASSES))
        names = tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
        if not 1 <= len(names) < IGNORE:
            raise InputError(f"'{path}' has {len(names)} lines: expected 1 to {IGNORE - 1} class names")
        return names

    def check(self) -> None:
        """Read the header of every image and mask."""
        check_pictures(p for split in _FOLDERS for pair in _pairs(self.root, split) for p in pair)

    def load(self, split: Split, count: int, size: int, device: torch.device) -> Samples:
        """Return `count` images of a split with their masks."""
        return cached(f"{self.id} {split} {count} {size}", device, lambda: self._load(split, count, size))

    def _load(self, split: Split, count: int, size: int) -> Samples:
        classes = len(self.classes("masks"))
        pairs = chosen(_pairs(self.root, split), count)
        loaded = in_threads(lambda pair: _one(*pair, size, classes), pairs)
        return make_samples(
            torch.from_numpy(np.stack([picture for picture, _ in loaded])),
            masks=torch.from_numpy(np.stack([mask for _, mask in loaded])),
        )


@cache
def _identity(root: Path, classes: tuple[str, ...]) -> str:
    files = [p for split in _FOLDERS for pair in _pairs(root, split) for p in pair]
    return "masks " + fingerprint(files, "\n".join(classes).encode())


@cache
def _pairs(root: Path, split: Split) -> tuple[tuple[Path, Path], ...]:
    """Return (image, mask) of every image of a split."""
    name = _FOLDERS[split]
    images = folder(folder(root, "images/ and annotations/") / "images" / name, "images")
    masks = folder(root / "annotations" / name, "one PNG mask per image")
    pairs = tuple((path, masks / f"{path.stem}.png") for path in pictures_in(images))
    for image, mask in pairs:
        if not mask.exists():
            raise InputError(f"'{image}' has no mask: there is no '{mask}'")
    return pairs


def _one(image: Path, mask: Path, size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    picture, drawn = read_picture(image), read_picture(mask, "L")
    if drawn.size != picture.size:
        raise InputError(f"'{mask}' is {drawn.width} x {drawn.height}, its image {picture.width} x {picture.height}")
    _, width, height = fit(*picture.size, size)
    index = np.asarray(drawn.resize((width, height), Image.Resampling.NEAREST)).astype(int)
    if index.max() > classes:
        raise InputError(f"'{mask}' has class {index.max()}: there are {classes} (name them in classes.txt)")
    square = np.full((size, size), IGNORE, np.uint8)
    square[:height, :width] = np.where(index == 0, IGNORE, index - 1)
    return letterbox(picture, size), square
