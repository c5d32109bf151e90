"""Images in folders, and the order that they are seen in: what the exported training script reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from piip_explore.errors import InputError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's statistics of pixels."""
IGNORED = 255
"""The label of pixels that do not count."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def image_paths(root: Path) -> list[Path]:
    """Return all images below a folder, in order."""
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)


class Folder(Dataset[tuple[Tensor, Tensor]]):
    """Images below a folder with a class, or a map of classes, each; cropped and flipped at random for training.

    Args:
        root: has a folder of images per class, or `images` and `labels` of the same names.
        classes: the names of the class folders; None for maps of classes.
        size: side of the square images and maps (pixels).
        training: crop and flip by `seed` and `epoch`; otherwise the largest square in the middle.
        seed: of the crops and flips.

    Raises:
        InputError: no images, or one without a class or a label.
    """

    def __init__(self, root: Path, classes: list[str] | None, size: int, training: bool, seed: int) -> None:
        self.dense, self.size, self.training, self.seed, self.epoch = classes is None, size, training, seed, 0
        paths, targets = image_paths(root), dict[Path, Any]()
        if classes is None:
            labels = {path.stem: path for path in (root / "labels").glob("*.png")}
            paths = [path for path in paths if path.parent.name == "images"]
            targets = {path: labels[path.stem] for path in paths if path.stem in labels}
        else:
            targets = {path: classes.index(path.parent.name) for path in paths if path.parent.name in classes}
        if lost := [path for path in paths if path not in targets]:
            raise InputError(f"'{lost[0]}' has no label of its name, or a class that no training image has")
        if not targets:
            raise InputError(f"no images in '{root}': the top of the training script says which folders are expected")
        self.items = list(targets.items())

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path, target = self.items[index]
        random = np.random.default_rng((self.seed, self.epoch, index))
        with Image.open(path) as file:
            image = file.convert("RGB")
        label = Image.open(target) if self.dense else None
        box = self._crop(image.size, random) if self.training else _centre(image.size)
        flip = self.training and random.random() < 0.5
        pixels = _cut(image, box, self.size, flip, Image.Resampling.BICUBIC).astype(np.float32) / 255
        x = torch.from_numpy((pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).permute(2, 0, 1)
        if label is None:
            return x.contiguous(), torch.tensor(target)
        return x.contiguous(), torch.from_numpy(_cut(label, box, self.size, flip, Image.Resampling.NEAREST)).long()

    def _crop(self, size: tuple[int, int], random: np.random.Generator) -> tuple[int, int, int, int]:
        """Return a random square of a quarter to all of the area that a square can have."""
        side = max(1, round(min(size) * math.sqrt(random.uniform(0.25, 1))))
        left, top = (int(random.integers(0, full - side + 1)) for full in size)
        return left, top, left + side, top + side


def _centre(size: tuple[int, int]) -> tuple[int, int, int, int]:
    side = min(size)
    left, top = ((full - side) // 2 for full in size)
    return left, top, left + side, top + side


def _cut(
    image: Image.Image, box: tuple[int, int, int, int], size: int, flip: bool, how: Image.Resampling
) -> np.ndarray[Any, Any]:
    image = image.resize((size, size), how, box=box)
    return np.array(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image)


class Order(Sampler[int]):
    """This process's share of a random order that seed and epoch decide, from any place in it on."""

    def __init__(self, count: int, rank: int, world: int, seed: int, shuffle: bool) -> None:
        self.count, self.rank, self.world, self.seed, self.shuffle = count, rank, world, seed, shuffle
        self.epoch, self.start = 0, 0

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        return iter(order[self.rank :: self.world][self.start :].tolist())
