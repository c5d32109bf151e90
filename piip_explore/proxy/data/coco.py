"""A user's detection data: COCO json files and folders of images."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

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
    read_picture,
)
from piip_explore.proxy.data.source import Annotation, Samples, Split, make_samples


@dataclass(frozen=True)
class CocoFolder:
    """`root` with `annotations/instances_train*.json`, `instances_val*.json` and folders of images named like them.

    Images keep their shape in the upper left of a grey square. Crowd annotations and boxes of less than a pixel are
    left out.
    """

    root: Path

    @property
    def id(self) -> str:
        """The content of the annotations, and names and sizes of the images."""
        return _identity(self.root)

    @property
    def provides(self) -> frozenset[Annotation]:
        """Boxes."""
        return frozenset({"boxes"})

    def classes(self, annotation: Annotation) -> tuple[str, ...]:
        """Return the categories' names by rising id."""
        return tuple(_index(self.root, "train").categories.values())

    def check(self) -> None:
        """Read both json files and the header of every image."""
        train, val = (_index(self.root, split) for split in ("train", "val"))
        if train.categories != val.categories:
            differ = sorted(set(train.categories.items()) ^ set(val.categories.items()))
            raise InputError(
                f"'{val.path}' and '{train.path}' do not list the same categories: {differ[0][1]!r} differs"
            )
        check_pictures([*train.paths, *val.paths])

    def load(self, split: Split, count: int, size: int, device: torch.device) -> Samples:
        """Return `count` images of a split with their boxes."""
        index = _index(self.root, split)
        return cached(f"{self.id} {split} {count} {size}", device, lambda: index.load(count, size))


class _Index:
    """One json file, read and checked: images with their paths, sizes and boxes."""

    def __init__(self, path: Path, images: Path) -> None:
        self.path, self.text = path, path.read_bytes()
        try:
            content = json.loads(self.text)
            categories = {int(c["id"]): str(c["name"]) for c in content["categories"]}
            self.categories = dict(sorted(categories.items()))
            listed = {int(i["id"]): i for i in content["images"]}
            annotations = [a for a in content["annotations"] if not a.get("iscrowd")]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"'{path}' is not a COCO json file: {type(error).__name__} {error}") from None
        if not listed or not annotations:
            raise InputError(f"'{path}' has no {'images' if not listed else 'annotations'}")
        self.paths = [images / str(i["file_name"]) for i in listed.values()]
        self.boxes = self._boxes(annotations, list(listed))

    def _boxes(self, annotations: list[Any], images: list[int]) -> list[np.ndarray]:
        """Return one (M, 5) array per image: x0, y0, x1, y1 and the class index."""
        kinds = {identity: n for n, identity in enumerate(self.categories)}
        of_image: defaultdict[int, list[list[float]]] = defaultdict(list)
        known = set(images)
        for a in annotations:
            if a.get("image_id") not in known:
                raise InputError(f"'{self.path}': annotation {a.get('id')} belongs to image {a.get('image_id')}, "
                                 "which is not listed")  # fmt: skip
            if a.get("category_id") not in kinds:
                raise InputError(f"'{self.path}': annotation {a.get('id')} has category {a.get('category_id')}, "
                                 "which is not listed")  # fmt: skip
            x, y, w, h = (float(v) for v in a["bbox"])
            of_image[a["image_id"]].append([x, y, x + w, y + h, kinds[a["category_id"]]])
        return [np.array(of_image[image], np.float32).reshape(-1, 5) for image in images]

    def load(self, count: int, size: int) -> Samples:
        rows = chosen(range(len(self.paths)), count)
        loaded = in_threads(lambda row: self._one(row, size), rows)
        boxes = [b for _, b in loaded]
        start = np.concatenate([[0], np.cumsum([len(b) for b in boxes])])
        joined = np.concatenate(boxes)
        return make_samples(
            torch.from_numpy(np.stack([picture for picture, _ in loaded])),
            boxes=torch.from_numpy(joined[:, :4].copy()),
            box_classes=torch.from_numpy(joined[:, 4].astype(np.int64)),
            box_start=torch.from_numpy(start.astype(np.int64)),
        )

    def _one(self, row: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        picture = read_picture(self.paths[row])
        scale, width, height = fit(*picture.size, size)
        boxes = self.boxes[row].copy()
        boxes[:, :4] = (boxes[:, :4] * scale).clip(0, [width, height, width, height])
        sides = boxes[:, 2:4] - boxes[:, :2]
        return letterbox(picture, size), boxes[(sides >= 1).all(1)]


@cache
def _identity(root: Path) -> str:
    parts = [_index(root, split) for split in ("train", "val")]
    return "coco " + fingerprint((p for part in parts for p in part.paths), *(part.text for part in parts))


@cache
def _index(root: Path, split: Split) -> _Index:
    annotations = folder(folder(root, "COCO data") / "annotations", "instances_train*.json and instances_val*.json")
    found = sorted(annotations.glob(f"instances_{split}*.json"))
    if len(found) != 1:
        raise InputError(f"'{annotations}' has {len(found)} files instances_{split}*.json: expected one")
    images = root / found[0].stem.removeprefix("instances_")
    return _Index(found[0], folder(images, f"the images of {found[0].name}"))
