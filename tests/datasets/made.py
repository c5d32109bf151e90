"""Small data sets of every kind, made on the spot, to be damaged by tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(path: Path, width: int, height: int, color: tuple[int, int, int] = (200, 10, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), color).save(path)


def coco(root: Path) -> Path:
    for split in ("train", "val"):
        picture(root / f"{split}2017" / "a.png", 80, 40)
        picture(root / f"{split}2017" / "b.png", 40, 40)
        content = {
            "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}],
            "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
            "annotations": [
                {"id": 1, "image_id": 7, "category_id": 18, "bbox": [10, 10, 40, 20]},
                {"id": 3, "image_id": 7, "category_id": 3, "bbox": [0, 0, 80, 40], "iscrowd": 1},
            ],
        }
        path = root / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return root


def masks(root: Path) -> Path:
    for split in ("training", "validation"):
        picture(root / "images" / split / "a.jpg", 8, 4)
        (root / "annotations" / split).mkdir(parents=True)
        mask = np.zeros((4, 8), np.uint8)
        mask[:, 4:] = 2
        Image.fromarray(mask).save(root / "annotations" / split / "a.png")
    (root / "classes.txt").write_text("wall\nsky\n")
    return root


def folders(root: Path) -> Path:
    for split in ("train", "val"):
        picture(root / split / "cat" / "1.png", 8, 6, (0, 0, 0))
        picture(root / split / "dog" / "1.png", 6, 8, (255, 255, 255))
    return root


MAKE: dict[str, Callable[[Path], Path]] = {"coco": coco, "ade20k": masks, "imagefolder": folders}


def edit(root: Path, change: Callable[[dict[str, Any]], object], split: str = "train") -> None:
    """Change what a json file of a COCO set says."""
    path = root / "annotations" / f"instances_{split}2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
