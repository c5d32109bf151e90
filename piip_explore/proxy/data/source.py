"""What the proxy trains on: images with masks, boxes or labels, held as columns, and the interface that yields them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from piip_explore.datasets import IGNORE, Annotation, Split

__all__ = ["IGNORE", "Annotation", "DataSource", "Samples", "Split", "make_samples"]


@dataclass(frozen=True)
class Samples:
    """N square images and what is known about them, as columns.

    `images` is (N, 3, S, S) uint8. `masks` is (N, S, S) uint8, class indices with `IGNORE` for no label. Boxes are
    (M, 4) float32 `x0, y0, x1, y1` in pixels of the S x S image, grouped by image: those of image n are rows
    `box_start[n]` to `box_start[n + 1]` of `boxes` and `box_classes`. `labels` is (N,) int64. A column that the source
    does not have is empty (0 rows).
    """

    images: Tensor
    masks: Tensor
    boxes: Tensor
    box_classes: Tensor
    box_start: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[-1])

    def first(self, count: int) -> Samples:
        """Return the first `count` samples, or all if there are fewer."""
        starts = self.box_start[: count + 1]
        boxes = int(starts[-1]) if len(starts) else 0
        return Samples(
            images=self.images[:count],
            masks=self.masks[:count],
            boxes=self.boxes[:boxes],
            box_classes=self.box_classes[:boxes],
            box_start=starts,
            labels=self.labels[:count],
        )

    def to(self, device: torch.device) -> Samples:
        """Return the same samples with every column on `device`."""
        return Samples(**{name: column.to(device) for name, column in vars(self).items()})


def make_samples(
    images: Tensor,
    *,
    masks: Tensor | None = None,
    boxes: Tensor | None = None,
    box_classes: Tensor | None = None,
    box_start: Tensor | None = None,
    labels: Tensor | None = None,
) -> Samples:
    """Return `Samples` with empty columns for what is not given."""
    size = images.shape[-1]
    return Samples(
        images=images,
        masks=torch.zeros(0, size, size, dtype=torch.uint8) if masks is None else masks,
        boxes=torch.zeros(0, 4) if boxes is None else boxes,
        box_classes=torch.zeros(0, dtype=torch.int64) if box_classes is None else box_classes,
        box_start=torch.zeros(0, dtype=torch.int64) if box_start is None else box_start,
        labels=torch.zeros(0, dtype=torch.int64) if labels is None else labels,
    )


class DataSource(Protocol):
    """A data set that the proxy can train on; a frozen value."""

    def __hash__(self) -> int:
        """Equal sources hash equally."""
        ...

    @property
    def provides(self) -> frozenset[Annotation]:
        """The annotations that its samples carry."""
        ...

    def classes(self, annotation: Annotation) -> tuple[str, ...]:
        """Names of the classes that this annotation's indices stand for, in order."""
        ...

    def check(self) -> None:
        """Raise `InputError` naming the file or folder, if anything would fail later."""
        ...

    def fingerprint(self, train: int, val: int) -> str:
        """Return what decides so many samples of each split, for hashes and cache keys: equal means equal samples."""
        ...

    def load(self, split: Split, count: int, size: int, device: torch.device) -> Samples:
        """Return `count` samples of a split (all, if it has fewer) at `size` x `size` pixels.

        The same arguments always give the same samples.
        """
        ...
