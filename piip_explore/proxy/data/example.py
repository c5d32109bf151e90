"""Embedded scenes written as folders of data, to try out what a user's own data would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from piip_explore.datasets import IGNORE, SPLITS
from piip_explore.errors import InputError
from piip_explore.files import write_whole
from piip_explore.proxy.data.source import DataSource, Samples


def write_coco(source: DataSource, root: Path, train: int, val: int, size: int) -> None:
    """Write samples as COCO data: `SPLIT/*.png` and `annotations/instances_SPLIT.json` with their boxes.

    Raises:
        InputError: the folder holds something already.
    """
    _check_empty(root)
    categories = [{"id": n, "name": name} for n, name in enumerate(source.classes("boxes"), 1)]
    for split, count in zip(SPLITS, (train, val), strict=True):
        samples = source.load(split, count, size, torch.device("cpu"))
        images = [_entry(samples, row, root / split) for row in range(len(samples))]
        content = {"images": images, "categories": categories, "annotations": _annotations(samples)}
        _save(root / "annotations" / f"instances_{split}.json", json.dumps(content))


def write_masks(source: DataSource, root: Path, train: int, val: int, size: int) -> None:
    """Write samples as ADE20K's folders: `images/training/*.png`, `annotations/training/*.png` and so on.

    Raises:
        InputError: the folder holds something already.
    """
    _check_empty(root)
    for split, count, name in zip(SPLITS, (train, val), ("training", "validation"), strict=True):
        samples = source.load(split, count, size, torch.device("cpu"))
        for row in range(len(samples)):
            index = samples.masks[row].int() + 1  # class 0 becomes 1, and no class, which is 255, 0
            _picture(samples, row, root / "images" / name)
            _png(Image.fromarray((index % (IGNORE + 1)).to(torch.uint8).numpy()), row, root / "annotations" / name)
    _save(root / "classes.txt", "\n".join(source.classes("masks")) + "\n")


def _check_empty(root: Path) -> None:
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"'{root}' exists and is not an empty folder: choose another")


def _save(path: Path, text: str) -> None:
    write_whole(path, lambda partial: partial.write_text(text))


def _entry(samples: Samples, row: int, folder: Path) -> dict[str, Any]:
    """Write an image, and return its entry in the json file."""
    name = _picture(samples, row, folder)
    return {"id": row, "file_name": name, "width": samples.size, "height": samples.size}


def _picture(samples: Samples, row: int, folder: Path) -> str:
    return _png(Image.fromarray(samples.images[row].permute(1, 2, 0).numpy()), row, folder)


def _png(picture: Image.Image, row: int, folder: Path) -> str:
    """Write a picture and return its name."""
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / f"{row:05}.png")
    return f"{row:05}.png"


def _annotations(samples: Samples) -> list[dict[str, Any]]:
    found = []
    for row in range(len(samples)):
        for box in range(int(samples.box_start[row]), int(samples.box_start[row + 1])):
            x0, y0, x1, y1 = (round(v, 2) for v in samples.boxes[box].tolist())
            bbox = [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)]
            kind = int(samples.box_classes[box]) + 1
            found.append({"id": box, "image_id": row, "category_id": kind, "bbox": bbox, "area": bbox[2] * bbox[3]})
            found[-1]["iscrowd"] = 0
    return found
