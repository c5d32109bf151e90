"""Segmentation data: folders of images and of masks of the same names, as ADE20K has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from piip_explore.datasets.dataset import SPLITS, Annotation, Progress, Split
from piip_explore.datasets.folders import folder, in_threads, left_out, named, pictures_in, repeated
from piip_explore.datasets.pictures import read_annotated, read_mask
from piip_explore.errors import InputError

IGNORE = 255
"""The mask value of pixels that neither train nor score."""

_FOLDERS: dict[Split, str] = {"train": "training", "val": "validation"}
_CLASSES = 150


@dataclass(frozen=True)
class MaskRows:
    """Images of a split, each with a mask, and how many classes there are."""

    pairs: tuple[tuple[Path, Path], ...]
    classes: int

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self, rows: Sequence[int]) -> list[Path]:
        """Return the images and masks of these rows."""
        return [path for row in rows for path in self.pairs[row]]

    def read(self, row: int) -> tuple[Image.Image, np.ndarray]:
        """Return an image and its mask: class 1 becomes 0, no class becomes `IGNORE`."""
        image, mask = self.pairs[row]
        picture, index = read_pair(image, mask)
        if not 0 <= index.min() <= index.max() <= self.classes:
            odd = index.min() if index.min() < 0 else index.max()
            raise InputError(
                f"'{mask}' has class {odd}: there are {self.classes} (name them in classes.txt; 0 is not a class)"
            )
        return picture, np.where(index == 0, IGNORE, index - 1).astype(np.uint8)


@dataclass(frozen=True)
class Masks:
    """`root` with `images/training`, `images/validation` and `annotations/...`: one PNG of class indices per image.

    Index 0 is not a class; 1 is the first. Names come from `classes.txt`, one per line, else they are ADE20K's 150.
    """

    root: Path
    annotation: ClassVar[Annotation] = "masks"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names in `classes.txt`, or 150 numbered ones."""
        path = self.root / "classes.txt"
        if not path.exists():
            return tuple(f"class-{n + 1}" for n in range(_CLASSES))
        names = named(path)
        if not 1 <= len(names) < IGNORE:
            raise InputError(f"'{path}' has {len(names)} lines: expected 1 to {IGNORE - 1} class names")
        return names

    def split(self, split: Split) -> MaskRows:
        """Return the images of a split that have a mask, which all must have."""
        pairs = paired(self._images(split), folder(self.root / "annotations" / _FOLDERS[split], "one mask per image"))
        return MaskRows(tuple(pairs), len(self.classes))

    def check(self) -> list[str]:
        """Check that every image of both splits has a mask."""
        for split in SPLITS:
            self.split(split)
        return repeated(self.classes, "classes") + left_out(map(self._images, SPLITS))

    def judge(self, split: Split, progress: Progress | None = None) -> list[str]:
        """Read every image and mask of a split; not all pixels of the masks may be 0."""
        rows = self.split(split)
        if not any(in_threads(lambda row: bool((rows.read(row)[1] != IGNORE).any()), range(len(rows)), progress)):
            raise InputError(
                f"no mask in '{self.root / 'annotations' / _FOLDERS[split]}' has a class: every pixel is 0, which is "
                "not a class; number the classes from 1"
            )
        return []

    def _images(self, split: Split) -> Path:
        return folder(folder(self.root, "images/ and annotations/") / "images" / _FOLDERS[split], "images")


def paired(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Return every image of a folder with the PNG of its name in the folder `masks`.

    Raises:
        InputError: an image has no mask, or shares one with another.
    """
    found: dict[Path, Path] = {}
    for image in pictures_in(images):
        mask = masks / f"{image.stem}.png"
        if not mask.exists():
            raise InputError(f"'{image}' has no mask: there is no '{mask}'")
        if mask in found:
            raise InputError(f"'{image}' and '{found[mask]}' have the same mask '{mask}': rename one of them")
        found[mask] = image
    return [(image, mask) for mask, image in found.items()]


def read_pair(image: Path, mask: Path) -> tuple[Image.Image, np.ndarray]:
    """Return an image, RGB, and the indices (height, width) of the mask that was drawn on it.

    Raises:
        InputError: one of them cannot be read, or their sizes differ.
    """
    index = read_mask(mask)
    return read_annotated(image, (index.shape[1], index.shape[0]), f"'{mask}'"), index
