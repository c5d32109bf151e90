"""What every kind of data set in a folder offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from PIL import Image

Split = Literal["train", "val"]
Annotation = Literal["masks", "boxes", "labels"]

SPLITS: tuple[Split, Split] = ("train", "val")

Progress = Callable[[int], object]
"""Called with how many more pictures were read."""


class SplitRows(Protocol):
    """The pictures of one split."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def files(self, rows: Sequence[int]) -> list[Path]:
        """Return the files whose bytes decide what these rows are."""
        ...

    def read(self, row: int) -> tuple[Image.Image, Any]:
        """Return a picture, RGB, and its annotation.

        The annotation is boxes, (M, 5) float64, x0, y0, x1, y1 within the picture (pixels) and class; or a mask,
        (height, width) uint8, class or `IGNORE`; or the class as an int.

        Raises:
            InputError: the picture or its annotation cannot be trained on; the sentence names the file.
        """
        ...


class DataSet(Protocol):
    """A data set in a folder; a frozen value."""

    @property
    def annotation(self) -> Annotation:
        """What its pictures are annotated with."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by their index."""
        ...

    def split(self, split: Split) -> SplitRows:
        """Return the pictures of a split.

        Raises:
            InputError: folders or files are missing, or say what cannot be right.
        """
        ...

    def check(self) -> list[str]:
        """Check files' names and what is written in texts, and return remarks on what is odd.

        Raises:
            InputError: something would fail later, whichever pictures are read.
        """
        ...

    def judge(self, split: Split, progress: Progress | None = None) -> list[str]:
        """Read every picture of a split as training does, and return remarks on what is odd.

        Raises:
            InputError: a picture or its annotation cannot be trained on, or nothing to train on is left.
        """
        ...
