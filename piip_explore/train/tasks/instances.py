"""COCO's instances: shapes to train on, and pycocotools' verdict on what a detector found."""

from __future__ import annotations

import contextlib
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from piip_explore.datasets.coco_file import CocoFile, is_crowd, whole
from piip_explore.errors import InputError

Kind = Literal["bbox", "segm"]

_NAMES: dict[Kind, str] = {"bbox": "box_ap", "segm": "mask_ap"}


@dataclass(frozen=True)
class Instances:
    """A json file's annotations beside its checked boxes.

    Attributes:
        listed: the checked file.
        image_ids: of its pictures, in order.
        shapes: `segmentation` of every box of every picture, in the order of the boxes.
        truth: the content as pycocotools takes it, crowds included.
    """

    listed: CocoFile
    image_ids: tuple[int, ...]
    shapes: tuple[tuple[Any, ...], ...]
    truth: dict[str, Any]

    @property
    def masks(self) -> bool:
        """Whether the boxes have shapes.

        Raises:
            InputError: some have and some have not.
        """
        boxes = sum(map(len, self.shapes))
        shaped = sum(bool(shape) for shapes in self.shapes for shape in shapes)
        if 0 < shaped < boxes:
            raise InputError(
                f"'{self.listed.path}': {boxes - shaped} of {boxes} annotations have no segmentation: give it to all, "
                "or to none to train on boxes alone"
            )
        return shaped > 0

    def mask(self, row: int, box: int, height: int, width: int) -> np.ndarray:
        """Return the mask (height, width), 0 or 1, of a picture's box.

        Raises:
            InputError: its segmentation is neither polygons nor run lengths, or has another size.
        """
        shape = self.shapes[row][box]
        try:
            if isinstance(shape, list):
                shape = rle.merge(rle.frPyObjects(shape, height, width))
            elif isinstance(shape["counts"], list):
                shape = rle.frPyObjects(shape, height, width)
            found: np.ndarray = rle.decode(shape)
        except Exception as error:  # pycocotools' C code raises what its arguments make it
            found, reason = np.empty((0, 0)), f": {error}"
        else:
            reason = f" of {found.shape[1]} x {found.shape[0]} pixels, its picture has {width} x {height}"
        if found.shape != (height, width):
            raise InputError(
                f"'{self.listed.path}': box {box + 1} of '{self.listed.pictures[row].name}' has a segmentation that "
                f"cannot be used{reason}"
            )
        return found


def read_instances(listed: CocoFile) -> Instances:
    """Read the json file that `listed` has checked once more, with ids as numbers and what COCO's files always say."""
    content = json.loads(listed.path.read_bytes())
    shapes: defaultdict[int, list[Any]] = defaultdict(list)
    annotations = []
    for number, entry in enumerate(content["annotations"], 1):
        crowd, image = is_crowd(entry), whole(entry, "image_id")
        if not crowd:
            shapes[image].append(entry.get("segmentation"))
        elif not entry.get("bbox"):
            continue
        box = [float(v) for v in entry["bbox"]]
        kept = {"id": number, "image_id": image, "category_id": whole(entry, "category_id"), "bbox": box}
        kept |= {"area": float(entry.get("area") or box[2] * box[3]), "iscrowd": int(crowd)}
        annotations.append(kept | ({"segmentation": entry["segmentation"]} if entry.get("segmentation") else {}))
    ids = tuple(whole(image, "id") for image in content["images"])
    images = [
        {"id": key, **({"width": size[0], "height": size[1]} if size else {})}
        for key, size in zip(ids, listed.sizes, strict=True)
    ]
    categories = [{"id": key, "name": name} for key, name in listed.categories.items()]
    truth = {"images": images, "categories": categories, "annotations": annotations}
    return Instances(listed, ids, tuple(tuple(shapes[key]) for key in ids), truth)


def average_precision(truth: dict[str, Any], found: list[dict[str, Any]], kind: Kind) -> dict[str, float]:
    """Return COCO's AP, AP50, AP75 and by size of objects, in percent.

    Args:
        truth: as `Instances.truth`.
        found: detections with `image_id`, `category_id`, `score` and `bbox` (x, y, width, height) or `segmentation`.
        kind: judge boxes or masks.
    """
    names = [_NAMES[kind] + suffix for suffix in ("", "50", "75", "_small", "_medium", "_large")]
    if not found:
        return dict.fromkeys(names, 0.0)
    if kind == "segm":
        truth = truth | {"annotations": [entry for entry in truth["annotations"] if "segmentation" in entry]}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth | {"info": {}}
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(found), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {name: max(0.0, 100 * float(value)) for name, value in zip(names, judge.stats, strict=False)}
