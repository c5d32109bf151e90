"""Presets: every knob of a proxy run under one name and one hash."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from piip_explore.errors import InputError
from piip_explore.proxy.data.embedded import EmbeddedScenes
from piip_explore.proxy.data.scenes import SceneRules
from piip_explore.proxy.data.source import DataSource
from piip_explore.proxy.score import content_hash
from piip_explore.proxy.shrink import Shrink
from piip_explore.proxy.tasks import TASKS
from piip_explore.proxy.tasks.task import Task


@dataclass(frozen=True)
class Preset:
    """One recipe, the same for every candidate.

    Attributes:
        name: what people call it.
        task: what is trained and measured.
        data: where images come from.
        shrink: what designs are divided by before they are trained.
        size: side of the images as loaded or rendered (pixels); each design sees them resized to its own resolution.
        train_images, val_images: how many different images there are.
        samples: images seen in training at fidelity 1.
        batch: images per step.
        rate: AdamW's peak learning rate for the branches.
        fresh_rate: the same for interactions, merging and head, as a multiple (PIIP's recipe: 10).
        weight_decay, clip, warmup: AdamW's decay, the gradient norm's limit, and the share of steps of linear warm-up
            before the cosine.
    """

    name: str
    task: Task
    data: DataSource
    shrink: Shrink
    size: int
    train_images: int
    val_images: int
    samples: int
    batch: int
    rate: float
    fresh_rate: float = 10.0
    weight_decay: float = 0.05
    clip: float = 1.0
    warmup: float = 0.1

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits over every knob and the data."""
        return content_hash(self.knobs())

    def knobs(self) -> dict[str, Any]:
        """Return every knob as JSON-ready values, the data as their id."""
        values = {name: value for name, value in vars(self).items() if name not in ("name", "data")}
        task = {"kind": type(self.task).__name__, **asdict(self.task)}  # type: ignore[call-overload]
        return values | {"task": task, "data": self.data.id, "shrink": asdict(self.shrink)}


def preset(name: str) -> Preset:
    """Return the preset of this name.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"unknown preset '{name}': expected one of {', '.join(PRESETS)}")
    return replace(PRESETS[name], name=name)


PRESETS = {
    "demo": Preset(
        name="demo",
        task=TASKS["segmentation"](),
        data=EmbeddedScenes(SceneRules(digits=2, crowd=6, clutter=3, smallest=0.1)),
        shrink=Shrink(resolution=14, width=8, patch=2, depth=3),
        size=128,
        train_images=1536,
        val_images=256,
        samples=2048,
        batch=32,
        rate=2e-3,
        fresh_rate=3.0,
    ),
}
"""All presets by name. `demo`: two CPU cores, about 15 seconds a run."""
