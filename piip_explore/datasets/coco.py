"""Detection data: COCO json files and folders of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from piip_explore.datasets.coco_file import CocoFile, read_coco_file
from piip_explore.datasets.dataset import SPLITS, Annotation, Progress, Split
from piip_explore.datasets.folders import folder, in_threads, present
from piip_explore.errors import InputError

_SMALLEST_LOADED = 128
"""Longer side (pixels) of images as the smallest presets load them."""


@dataclass(frozen=True)
class Coco:
    """`root` with `annotations/instances_train*.json`, `instances_val*.json` and folders of images named like them."""

    root: Path
    annotation: ClassVar[Annotation] = "boxes"

    @property
    def classes(self) -> tuple[str, ...]:
        """The categories' names by rising id."""
        return tuple(self.split("train").categories.values())

    def split(self, split: Split) -> CocoFile:
        """Return the json file of a split; it is read again only if it changes."""
        annotations = folder(folder(self.root, "COCO data") / "annotations", "instances_train*.json and ..._val*.json")
        found = sorted(annotations.glob(f"instances_{split}*.json"))
        if len(found) != 1:
            raise InputError(f"'{annotations}' has {len(found)} files instances_{split}*.json: expected one")
        images = folder(self.root / found[0].stem.removeprefix("instances_"), f"the images of {found[0].name}")
        state = found[0].stat()
        return _read(found[0], images, (state.st_mtime_ns, state.st_ctime_ns, state.st_size))

    def check(self) -> list[str]:
        """Check that both splits list the same categories, and images that are there."""
        train, val = (self.split(split) for split in SPLITS)
        if train.categories != val.categories:
            differ = sorted(set(train.categories.items()) ^ set(val.categories.items()))
            raise InputError(
                f"'{val.path}' and '{train.path}' do not list the same categories: {differ[0][1]!r} differs"
            )
        present([*train.pictures, *val.pictures])
        return [*train.remarks, *val.remarks]

    def judge(self, split: Split, progress: Progress | None = None) -> list[str]:
        """Read every image of a split, and say how many of its boxes are left out or cut off."""
        listed = self.split(split)

        def judge(row: int) -> np.ndarray:
            picture, boxes = listed.read(row)
            kept = large_enough(boxes)
            cut = kept & (abs(boxes - listed.boxes[row]) > 1).any(1)
            small = kept & ~large_enough(boxes * (_SMALLEST_LOADED / max(picture.size)))
            return np.array([len(kept), kept.sum(), cut.sum(), small.sum()])

        boxes, kept, cut, small = np.sum(in_threads(judge, range(len(listed)), progress), axis=0).tolist()
        if not kept:
            raise InputError(
                f"'{listed.path}': none of {boxes} boxes has a pixel or more within its image; expected x, y, width "
                "and height in pixels of the image (not fractions of it, not corners)"
            )
        counted = (
            (boxes - kept, "have less than a pixel within their image: left out"),
            (cut, "reach beyond their image: cut off at its edges"),
            (small, f"have less than a pixel in images loaded at {_SMALLEST_LOADED} pixels: left out by CPU presets"),
        )
        return [f"'{listed.path}': {count} of {boxes} boxes {what}" for count, what in counted if count]


def large_enough(boxes: np.ndarray) -> np.ndarray:
    """Return which boxes (M, 4+) have a pixel or more on both sides; the others are left out."""
    large: np.ndarray = (boxes[:, 2:4] - boxes[:, :2] >= 1).all(1)
    return large


@lru_cache(maxsize=4)
def _read(path: Path, images: Path, state: tuple[int, ...]) -> CocoFile:
    return read_coco_file(path, images)
