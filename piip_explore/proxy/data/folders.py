"""A user's own data as samples: pictures made square, with what is known about them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from piip_explore import phases
from piip_explore.code_hash import code_hash
from piip_explore.datasets import IGNORE, DataSet, SplitRows, open_data
from piip_explore.datasets.coco import large_enough
from piip_explore.datasets.content import content_hash
from piip_explore.datasets.folders import in_threads
from piip_explore.errors import InputError
from piip_explore.proxy.data.sample_cache import cached
from piip_explore.proxy.data.source import Annotation, Samples, Split, make_samples

_GREY = (124, 116, 104)
"""The padding's colour: the mean of natural photographs."""


@dataclass(frozen=True)
class FolderSource:
    """Data in a folder. With boxes or masks, images keep their shape in the upper left of a square; a label is of the
    central square. Crowds and boxes of less than a pixel are left out; neither padding nor class 0 is scored in masks.
    """

    data: DataSet

    @property
    def provides(self) -> frozenset[Annotation]:
        """The one kind that the data have."""
        return frozenset({self.data.annotation})

    def classes(self, annotation: Annotation) -> tuple[str, ...]:
        """Return the names of the classes."""
        return self.data.classes

    def check(self) -> None:
        """Check names, and what is written in texts; pictures are read when they are loaded."""
        self.data.check()

    def fingerprint(self, train: int, val: int) -> str:
        """Return what decides the samples: classes, and the bytes of the files that they are made from."""
        return _fingerprint(self, train, val)

    def load(self, split: Split, count: int, size: int, device: torch.device) -> Samples:
        """Return `count` images of a split, spread over it, with their annotations."""
        rows = self.data.split(split)
        chosen = _chosen(len(rows), count)
        code = code_hash("datasets", "proxy/data/folders.py", libraries=("pillow",))
        key = f"{code} {self._content(rows, chosen)} {split} {count} {size}"
        return cached(key, device, lambda: _LOAD[self.data.annotation](rows, chosen, size))

    def _content(self, rows: SplitRows, chosen: Sequence[int]) -> str:
        names = "\n".join([self.data.annotation, *self.data.classes])
        return f"{names} {content_hash(rows.files(chosen))}"


def open_folder(text: str) -> FolderSource:
    """Return the data that `KIND:FOLDER` names, such as `coco:/data/coco`.

    Raises:
        InputError: an unknown kind, or no such folder.
    """
    return FolderSource(open_data(text))


@cache
def _fingerprint(source: FolderSource, train: int, val: int) -> str:
    """Return it as first seen: samples that a process has loaded do not change with the files."""
    digest = hashlib.sha256()
    splits: tuple[tuple[Split, int], ...] = (("train", train), ("val", val))
    for split, count in splits:
        rows = source.data.split(split)
        digest.update(source._content(rows, _chosen(len(rows), count)).encode())
    return f"{source.data.annotation} {digest.hexdigest()[:16]}"


def _chosen(total: int, count: int) -> list[int]:
    """Return `count` of the rows (all, if there are fewer), the same ones every time, spread over them."""
    return np.random.default_rng(0).permutation(total)[:count].tolist()


def _load_boxes(rows: SplitRows, chosen: Sequence[int], size: int) -> Samples:
    def read(row: int) -> tuple[np.ndarray, np.ndarray]:
        picture, boxes = rows.read(row)
        boxes[:, :4] *= size / max(picture.size)
        return _letterbox(picture, size), boxes[large_enough(boxes)].astype(np.float32)

    pictures, boxes = zip(*in_threads(read, chosen, _told(len(chosen))), strict=True)
    joined = np.concatenate(boxes)
    if not len(joined):
        raise InputError(f"'{rows.files([])[0]}': no box has a pixel or more in images of {size} pixels")
    return make_samples(
        torch.from_numpy(np.stack(pictures)),
        boxes=torch.from_numpy(joined[:, :4].copy()),
        box_classes=torch.from_numpy(joined[:, 4].astype(np.int64)),
        box_start=torch.from_numpy(np.cumsum([0, *map(len, boxes)])),
    )


def _load_masks(rows: SplitRows, chosen: Sequence[int], size: int) -> Samples:
    def read(row: int) -> tuple[np.ndarray, np.ndarray]:
        picture, mask = rows.read(row)
        width, height = _fit(picture, size)
        square = np.full((size, size), IGNORE, np.uint8)
        square[:height, :width] = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        return _letterbox(picture, size), square

    pictures, masks = zip(*in_threads(read, chosen, _told(len(chosen))), strict=True)
    if all((mask == IGNORE).all() for mask in masks):
        folder = rows.files(chosen[:1])[1].parent
        raise InputError(
            f"none of {len(chosen)} masks in '{folder}' has a class in images of {size} pixels: all are 0, not a class"
        )
    return make_samples(torch.from_numpy(np.stack(pictures)), masks=torch.from_numpy(np.stack(masks)))


def _load_labels(rows: SplitRows, chosen: Sequence[int], size: int) -> Samples:
    def read(row: int) -> tuple[np.ndarray, int]:
        picture, label = rows.read(row)
        return _center_crop(picture, size), label

    pictures, labels = zip(*in_threads(read, chosen, _told(len(chosen))), strict=True)
    return make_samples(torch.from_numpy(np.stack(pictures)), labels=torch.tensor(labels))


def _told(count: int) -> Callable[[int], None]:
    """Return what `in_threads` calls after each picture, to report how many of `count` are read."""
    read = 0

    def more(number: int) -> None:
        nonlocal read
        read += number
        phases.tell("reading pictures", read / count)

    return more


_LOAD: dict[Annotation, Callable[[SplitRows, Sequence[int], int], Samples]] = {
    "boxes": _load_boxes,
    "masks": _load_masks,
    "labels": _load_labels,
}


def _fit(picture: Image.Image, size: int) -> tuple[int, int]:
    """Return width and height of a picture whose longer side becomes `size`."""
    scale = size / max(picture.size)
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))


def _letterbox(picture: Image.Image, size: int) -> np.ndarray[Any, Any]:
    """Return a picture in the upper left of a grey square, (3, size, size) uint8."""
    square = Image.new("RGB", (size, size), _GREY)
    square.paste(picture.resize(_fit(picture, size), Image.Resampling.BILINEAR, reducing_gap=3.0))
    return np.asarray(square).transpose(2, 0, 1)


def _center_crop(picture: Image.Image, size: int) -> np.ndarray[Any, Any]:
    """Return the largest central square of a picture, resized, (3, size, size) uint8."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=box)).transpose(2, 0, 1)
