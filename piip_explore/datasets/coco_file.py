"""A COCO json file of detection data, read with every entry checked."""

from __future__ import annotations

import json
import math
import reprlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from piip_explore.datasets.folders import repeated
from piip_explore.datasets.pictures import Size, read_annotated
from piip_explore.errors import InputError

_CROWD = {0: False, 1: True, "0": False, "1": True, "": False, None: False}


@dataclass(frozen=True)
class CocoFile:
    """The images of one json file and their boxes, as columns.

    `categories` are names by rising id. An image has a path, the size (pixels) that the file states, None if it states
    none, and boxes, (M, 5) float64: x0, y0, x1, y1 in pixels, and the index of the class. `remarks` are sentences on
    what is odd and can be trained on.
    """

    path: Path
    categories: dict[int, str]
    pictures: tuple[Path, ...]
    sizes: tuple[Size | None, ...]
    boxes: tuple[np.ndarray, ...]
    remarks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def files(self, rows: Sequence[int]) -> list[Path]:
        """Return the json file and the images of these rows."""
        return [self.path, *(self.pictures[row] for row in rows)]

    def read(self, row: int) -> tuple[Image.Image, np.ndarray]:
        """Return an image and its boxes, cut off at its edges."""
        where = f"image {row + 1} of '{self.path}'"
        picture = read_annotated(self.pictures[row], self.sizes[row], where)
        boxes = self.boxes[row].copy()
        boxes[:, :4] = boxes[:, :4].clip(0, [*picture.size, *picture.size])
        return picture, boxes


def read_coco_file(path: Path, images: Path) -> CocoFile:
    """Read the json file of a split whose images are in the folder `images`. Crowd annotations are left out.

    Raises:
        InputError: it is not a COCO file, or one of its entries lacks something or cannot be right; the sentence says
            which.
    """
    content = _content(path)
    categories = dict(sorted(_named_once(content["categories"], "name", path, "category").items()))
    listed = _named_once(content["images"], "file_name", path, "image")
    boxes = _boxes(content["annotations"], path, {key: n for n, key in enumerate(categories)}, set(listed))
    if not boxes:
        raise InputError(f"'{path}' has no annotations, other than of crowds")
    remarks = repeated(categories.values(), f"categories of '{path}'")
    remarks += [text.replace("named", "of the file") for text in repeated(listed.values(), f"images of '{path}'")]
    return CocoFile(
        path,
        categories,
        tuple(images / name for name in listed.values()),
        tuple(_size(image) for image in content["images"]),
        tuple(np.array(boxes.get(key, []), np.float64).reshape(-1, 5) for key in listed),
        tuple(remarks),
    )


def _content(path: Path) -> dict[str, list[Any]]:
    """Return the three lists of a COCO file, none of them empty."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not a COCO json file: {error}") from None
    lists = {}
    for name in ("images", "categories", "annotations"):
        found = content.get(name) if isinstance(content, dict) else None
        if not isinstance(found, list):
            raise InputError(f"'{path}' is not a COCO json file: it has no list '{name}'")
        if not found:
            raise InputError(f"'{path}' has no {name}")
        lists[name] = found
    return lists


def _named_once(entries: list[Any], field: str, path: Path, what: str) -> dict[int, str]:
    """Return a text field of entries by their id."""
    found: dict[int, str] = {}
    for number, entry in enumerate(entries, 1):
        where = f"'{path}': {what} {number} of {len(entries)}"
        if not isinstance(entry, dict):
            raise InputError(f"{where} is {reprlib.repr(entry)}: expected an object with id and {field}")
        try:
            key, text = whole(entry, "id"), entry.get(field)
        except InputError as error:
            raise InputError(f"{where} {error}") from None
        if not isinstance(text, str) or not text:
            raise InputError(f"{where} has {field} {reprlib.repr(text)}: expected a name")
        if key in found:
            raise InputError(
                f"{where} ({text!r}) has the id {key}, which is that of {found[key]!r}: an id is used once"
            )
        found[key] = text
    return found


def _boxes(entries: list[Any], path: Path, kinds: dict[int, int], images: set[int]) -> dict[int, list[list[float]]]:
    """Return x0, y0, x1, y1 and class of every annotation by its image."""
    found: defaultdict[int, list[list[float]]] = defaultdict(list)
    for number, entry in enumerate(entries, 1):
        try:
            if not isinstance(entry, dict):
                raise InputError(f"is {reprlib.repr(entry)}: expected an object with image_id, category_id and bbox")
            if is_crowd(entry):
                continue
            image, kind = whole(entry, "image_id"), whole(entry, "category_id")
            if image not in images:
                raise InputError(f"belongs to image {image}, which is not listed")
            if kind not in kinds:
                raise InputError(f"has category {kind}, which is not listed")
            x, y, width, height = _numbers(entry)
        except InputError as error:
            own = f" (id {reprlib.repr(entry['id'])})" if isinstance(entry, dict) and "id" in entry else ""
            raise InputError(f"'{path}': annotation {number} of {len(entries)}{own} {error}") from None
        found[image].append([x, y, x + width, y + height, kinds[kind]])
    return found


def whole(entry: dict[str, Any], field: str) -> int:
    """Return an id as tools write it: 7, 7.0 or "7"."""
    value = entry.get(field)
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    if field not in entry:
        raise InputError(f"has no {field}")
    raise InputError(f"has {field} {reprlib.repr(value)}: expected a whole number")


def is_crowd(entry: dict[str, Any]) -> bool:
    """Return whether an annotation is of a crowd."""
    value = entry.get("iscrowd")
    if isinstance(value, str | int | float | None) and value in _CROWD:
        return _CROWD[value]
    raise InputError(f"has iscrowd {reprlib.repr(value)}: expected 0 or 1")


def _numbers(entry: dict[str, Any]) -> list[float]:
    value = entry.get("bbox")
    if value is None:
        raise InputError("has no bbox")
    try:
        numbers = [float(v) for v in value] if isinstance(value, list) else []
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise InputError(f"has bbox {reprlib.repr(value)}: expected four numbers, x, y, width and height")
    return numbers


def _size(image: dict[str, Any]) -> Size | None:
    try:
        size = whole(image, "width"), whole(image, "height")
    except InputError:
        return None
    return size if min(size) > 0 else None
