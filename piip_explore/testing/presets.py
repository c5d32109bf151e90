"""A preset of seconds, for tests of what trains by one."""

from __future__ import annotations

from typing import Any

from piip_explore.proxy import Preset, Shrink
from piip_explore.proxy.data import EmbeddedScenes, SceneRules
from piip_explore.proxy.tasks import Segmentation


def tiny(**changes: Any) -> Preset:
    """Return a preset of 10 steps on 32-pixel scenes with masks, boxes and labels; `changes` are other fields of it."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "task": Segmentation(head_size=8, dim=8),
        "data": EmbeddedScenes(SceneRules(digits=1, crowd=4, clutter=1, smallest=0.3)),
        "shrink": Shrink(resolution=28, width=16, patch=4, depth=6),
        "size": 32,
        "train_images": 64,
        "val_images": 16,
        "samples": 80,
        "batch": 8,
        "rate": 2e-3,
    }
    return Preset(**fields | changes)
