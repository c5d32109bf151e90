"""Classification data: one folder of images per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image

from piip_explore.datasets.dataset import SPLITS, Annotation, Progress, Split
from piip_explore.datasets.folders import folder, in_threads, left_out, pictures_in, visible
from piip_explore.datasets.pictures import read_picture
from piip_explore.errors import InputError


@dataclass(frozen=True)
class LabelRows:
    """Images of a split, each with the index of its class."""

    items: tuple[tuple[Path, int], ...]

    def __len__(self) -> int:
        return len(self.items)

    def files(self, rows: Sequence[int]) -> list[Path]:
        """Return the images of these rows; the folder that an image is in says its class."""
        return [self.items[row][0] for row in rows]

    def read(self, row: int) -> tuple[Image.Image, int]:
        """Return an image and its class."""
        path, label = self.items[row]
        return read_picture(path), label


@dataclass(frozen=True)
class ClassFolders:
    """`root` with `train/CLASS/*` and `val/CLASS/*`."""

    root: Path
    annotation: ClassVar[Annotation] = "labels"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the folders under `train`, which `val` must have too."""
        train, val = (set(class_names(folder(self.root, "train/ and val/") / split)) for split in SPLITS)
        if differ := sorted(train ^ val):
            there, missing = SPLITS if differ[0] in train else reversed(SPLITS)
            raise InputError(
                f"class '{differ[0]}' has a folder in '{self.root / there}' and none in '{self.root / missing}'"
            )
        if len(train) < 2:
            raise InputError(f"'{self.root / 'train'}' has {len(train)} class folders: expected two or more")
        return tuple(sorted(train))

    def split(self, split: Split) -> LabelRows:
        """Return the images of every class."""
        return LabelRows(labelled(self.root / split, self.classes))

    def check(self) -> list[str]:
        """Check that both splits have images of every class."""
        for split in SPLITS:
            self.split(split)
        return left_out(self.root / split / name for split in SPLITS for name in self.classes)

    def judge(self, split: Split, progress: Progress | None = None) -> list[str]:
        """Read every image of a split."""
        rows = self.split(split)
        in_threads(lambda row: rows.read(row)[1], range(len(rows)), progress)
        return []


def class_names(root: Path) -> list[str]:
    """Return the names of the folders in a folder, hidden ones left out."""
    return [path.name for path in visible(folder(root, "a folder per class")) if path.is_dir()]


def labelled(root: Path, classes: Sequence[str]) -> tuple[tuple[Path, int], ...]:
    """Return every image of the class folders in `root`, with the index of its class.

    Raises:
        InputError: a class has no images.
    """
    return tuple((path, n) for n, name in enumerate(classes) for path in pictures_in(root / name))
