"""A user's classification data: one folder of images per class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from piip_explore.errors import InputError
from piip_explore.proxy.data.cache import cached
from piip_explore.proxy.data.files import (
    center_crop,
    check_pictures,
    chosen,
    fingerprint,
    folder,
    in_threads,
    pictures_in,
    read_picture,
)
from piip_explore.proxy.data.source import Annotation, Samples, Split, make_samples


@dataclass(frozen=True)
class ImageFolder:
    """`root` with `train/CLASS/*` and `val/CLASS/*`; the central square of an image is used."""

    root: Path

    @property
    def id(self) -> str:
        """Classes, names and sizes of the images."""
        return _identity(self.root)

    @property
    def provides(self) -> frozenset[Annotation]:
        """Labels."""
        return frozenset({"labels"})

    def classes(self, annotation: Annotation) -> tuple[str, ...]:
        """Return the names of the folders under `train`."""
        return _classes(self.root)

    def check(self) -> None:
        """Read the header of every image."""
        check_pictures(path for split in ("train", "val") for path, _ in _files(self.root, split))

    def load(self, split: Split, count: int, size: int, device: torch.device) -> Samples:
        """Return `count` images of a split with their labels."""
        return cached(f"{self.id} {split} {count} {size}", device, lambda: self._load(split, count, size))

    def _load(self, split: Split, count: int, size: int) -> Samples:
        files = chosen(_files(self.root, split), count)
        pictures = in_threads(lambda file: center_crop(read_picture(file[0]), size), files)
        labels = torch.tensor([label for _, label in files])
        return make_samples(torch.from_numpy(np.stack(pictures)), labels=labels)


@cache
def _identity(root: Path) -> str:
    return "folders " + fingerprint(path for split in ("train", "val") for path, _ in _files(root, split))


@cache
def _classes(root: Path) -> tuple[str, ...]:
    names = {
        split: {
            p.name
            for p in folder(folder(root, "train/ and val/") / split, "a folder per class").iterdir()
            if p.is_dir()
        }
        for split in ("train", "val")
    }
    if differ := sorted(names["train"] ^ names["val"]):
        there, missing = ("train", "val") if differ[0] in names["train"] else ("val", "train")
        raise InputError(f"class '{differ[0]}' has a folder in '{root / there}' and none in '{root / missing}'")
    if len(names["train"]) < 2:
        raise InputError(f"'{root / 'train'}' has {len(names['train'])} class folders: expected two or more")
    return tuple(sorted(names["train"]))


@cache
def _files(root: Path, split: Split) -> tuple[tuple[Path, int], ...]:
    """Return every image of a split with its class index."""
    classes = _classes(root)
    return tuple((path, n) for n, name in enumerate(classes) for path in pictures_in(root / split / name))
