"""Presets: every knob of a proxy run under one name and one hash."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from piip_explore.errors import InputError
from piip_explore.proxy.data import DataSource, EmbeddedScenes, SceneRules, open_folder
from piip_explore.proxy.score import content_hash
from piip_explore.proxy.shrink import Shrink
from piip_explore.proxy.tasks import TASKS
from piip_explore.proxy.tasks.task import Task


@dataclass(frozen=True)
class WarmStart:
    """How each branch model is pre-trained, once, on the preset's task and data.

    It sees `samples` images at the full-scale `resolutions` in turn (pixels; shrunken like a design's), with a peak
    learning rate of `rate`.
    """

    samples: int
    rate: float
    resolutions: tuple[int, ...] = (448, 672, 896, 1120, 1568)


@dataclass(frozen=True)
class Weights:
    """A safetensors file of pre-trained weights for a branch model, under timm's or another known family's names."""

    model: str
    path: Path

    @property
    def hash(self) -> str:
        """Of the file's content."""
        return _file_hash(self.path)


@cache
def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"cannot read the weights '{path}': {error.strerror}") from None


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
        warm_start: how branches are pre-trained, None to start from random weights.
        weights: files of weights that branch models start from instead; only where models are not shrunken.
        compile: run blocks and exchanges through `torch.compile`, once per kind and shape of block.
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
    warm_start: WarmStart | None = None
    weights: tuple[Weights, ...] = ()
    compile: bool = False

    def __post_init__(self) -> None:
        if self.weights and not self.shrink.keeps_models:
            raise InputError(
                f"preset '{self.name}' shrinks its branch models, so weights of '{self.weights[0].model}' do not fit: "
                "shrink nothing but the resolution (width=1, patch=1, depth=1)"
            )

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits over every knob and the data."""
        return content_hash(self.knobs())

    def knobs(self) -> dict[str, Any]:
        """Return every knob as JSON-ready values, the data as their id."""
        values = {name: value for name, value in vars(self).items() if name not in ("name", "data")}
        task = {"kind": type(self.task).__name__, **asdict(self.task)}  # type: ignore[call-overload]
        return values | {
            "weights": {weights.model: weights.hash for weights in self.weights},
            "task": task,
            "data": self.data.id,
            "shrink": asdict(self.shrink),
            "warm_start": self.warm_start and asdict(self.warm_start),
        }


def preset(name: str) -> Preset:
    """Return the preset of this name; `NAME@KIND:FOLDER` is the same recipe on a user's own data.

    Raises:
        InputError: there is no such preset or folder, or the data lack what the preset's task needs.
    """
    base, at, data = name.partition("@")
    if base not in PRESETS:
        raise InputError(
            f"unknown preset '{base}': expected one of {', '.join(PRESETS)}, with @KIND:FOLDER for own data"
        )
    if not at:
        return PRESETS[base]
    own = replace(PRESETS[base], name=name, data=open_folder(data))
    if own.task.needs not in own.data.provides:
        have = ", ".join(sorted(own.data.provides))
        raise InputError(f"preset '{base}' trains {own.task.name}, which needs {own.task.needs}; '{data}' has {have}")
    return own


_DEMO = Preset(
    name="demo",
    task=TASKS["segmentation"](),
    data=EmbeddedScenes(SceneRules(digits=2, crowd=6, clutter=3, smallest=0.1)),
    shrink=Shrink(resolution=14, width=8, patch=2, depth=3),
    size=128,
    train_images=2048,
    val_images=256,
    samples=3072,
    batch=32,
    rate=2e-3,
    fresh_rate=3.0,
)

# Small batches: on a CPU they cost nothing, and what starts fresh needs steps more than it needs images.
_CPU = replace(
    _DEMO,
    name="cpu",
    data=EmbeddedScenes(SceneRules(digits=5, clutter=4)),
    train_images=8192,
    val_images=512,
    samples=4096,
    batch=16,
    rate=5e-4,
    fresh_rate=10.0,
    warm_start=WarmStart(samples=49152, rate=1e-3),
)

_CPU_DETECTION = replace(_CPU, name="cpu-detection", task=TASKS["detection"]())

# Classification is published at 96 to 384 pixels: factors of 2 and 4 keep every size exact.
_ONE_OBJECT = SceneRules(crowd=1, smallest=0.15, tail=1.0)
_CLASSIFICATION_SIZES = (96, 128, 192, 320, 384)

_CPU_CLASSIFICATION = replace(
    _CPU,
    name="cpu-classification",
    task=TASKS["classification"](),
    data=EmbeddedScenes(replace(_ONE_OBJECT, digits=5, clutter=4)),
    shrink=Shrink(resolution=4, width=8, patch=2, depth=3),
    warm_start=WarmStart(samples=49152, rate=1e-3, resolutions=_CLASSIFICATION_SIZES),
)

_GPU = Preset(
    name="gpu-60s",
    task=TASKS["segmentation"](head_size=64, dim=64),
    data=EmbeddedScenes(),
    shrink=Shrink(resolution=7, width=4, patch=2, depth=1),
    size=256,
    train_images=16384,
    val_images=1024,
    samples=32768,
    batch=64,
    rate=3e-4,
    warm_start=WarmStart(samples=262144, rate=1e-3),
)

_GPU_DETECTION = replace(_GPU, name="gpu-detection-60s", task=TASKS["detection"](head_size=64, dim=64))

_GPU_CLASSIFICATION = replace(
    _GPU,
    name="gpu-classification-60s",
    task=TASKS["classification"](),
    data=EmbeddedScenes(_ONE_OBJECT),
    shrink=Shrink(resolution=2, width=4, patch=2, depth=1),
    warm_start=WarmStart(samples=262144, rate=1e-3, resolutions=_CLASSIFICATION_SIZES),
)


def _longer(base: Preset) -> Preset:
    """Return the recipe at six times the images seen."""
    return replace(base, name=base.name.replace("60s", "5min"), samples=6 * base.samples)


_ON_CPU = (_DEMO, _CPU, _CPU_DETECTION, _CPU_CLASSIFICATION)
_ALL = (*_ON_CPU, *(p for base in (_GPU, _GPU_DETECTION, _GPU_CLASSIFICATION) for p in (base, _longer(base))))

PRESETS = {recipe.name: recipe for recipe in _ALL}
"""All presets by name, one family per hardware class; see docs/proxy.md for what was measured with which."""
