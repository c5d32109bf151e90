"""A user's own data in folders: what is there, what is wrong with it, and its pictures as they train. No torch."""

from __future__ import annotations

from pathlib import Path

from piip_explore.datasets.classes import ClassFolders
from piip_explore.datasets.coco import Coco
from piip_explore.datasets.dataset import SPLITS, Annotation, DataSet, Progress, Split, SplitRows
from piip_explore.datasets.masks import IGNORE, Masks
from piip_explore.errors import InputError

__all__ = [
    "IGNORE",
    "KINDS",
    "SPLITS",
    "Annotation",
    "ClassFolders",
    "Coco",
    "DataSet",
    "Masks",
    "Progress",
    "Split",
    "SplitRows",
    "open_data",
]

KINDS: dict[str, type[Coco] | type[Masks] | type[ClassFolders]] = {
    "coco": Coco,
    "ade20k": Masks,
    "imagefolder": ClassFolders,
}
"""The kinds of folders that a user's own data come in."""


def open_data(text: str) -> DataSet:
    """Return the data that `KIND:FOLDER` names, such as `coco:/data/coco`.

    Raises:
        InputError: an unknown kind, or no such folder.
    """
    kind, colon, path = text.partition(":")
    if kind not in KINDS or not colon:
        raise InputError(f"data '{text}': expected {', '.join(f'{name}:FOLDER' for name in KINDS)}")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise InputError(f"data '{text}': there is no folder '{root}'")
    return KINDS[kind](root)
