"""Images to train on: the interface of a data source and the sources behind it."""

from __future__ import annotations

from pathlib import Path

from piip_explore.errors import InputError
from piip_explore.proxy.data.ade20k import MaskFolder
from piip_explore.proxy.data.coco import CocoFolder
from piip_explore.proxy.data.embedded import EmbeddedScenes
from piip_explore.proxy.data.imagefolder import ImageFolder
from piip_explore.proxy.data.scenes import SceneRules
from piip_explore.proxy.data.source import IGNORE, DataSource, Samples

__all__ = [
    "FOLDERS",
    "IGNORE",
    "CocoFolder",
    "DataSource",
    "EmbeddedScenes",
    "ImageFolder",
    "MaskFolder",
    "Samples",
    "SceneRules",
    "open_folder",
]

FOLDERS: dict[str, type[CocoFolder] | type[MaskFolder] | type[ImageFolder]] = {
    "coco": CocoFolder,
    "ade20k": MaskFolder,
    "imagefolder": ImageFolder,
}
"""The kinds of folders that a user's own data come in."""


def open_folder(text: str) -> DataSource:
    """Return the data that `KIND:PATH` names, such as `coco:/data/coco`.

    Raises:
        InputError: an unknown kind, or no such folder.
    """
    kind, colon, path = text.partition(":")
    if kind not in FOLDERS or not colon:
        raise InputError(f"data '{text}': expected {', '.join(f'{name}:FOLDER' for name in FOLDERS)}")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise InputError(f"data '{text}': there is no folder '{root}'")
    return FOLDERS[kind](root)
