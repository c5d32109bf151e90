"""Presets: every knob of a proxy run under one name and one hash."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from piip_explore import plugins
from piip_explore.errors import InputError
from piip_explore.preset_names import check_preset
from piip_explore.proxy.data import DataSource, EmbeddedScenes, SceneRules, open_folder
from piip_explore.proxy.score import content_hash
from piip_explore.proxy.shrink import Shrink
from piip_explore.proxy.tasks import TASKS
from piip_explore.proxy.tasks.task import Task

Shared = Literal["branches", "frozen branches", "everything"]


@dataclass(frozen=True)
class SupernetRecipe:
    """How the weights that candidates share are trained, once, on the preset's task and data.

    Attributes:
        shared: "branches" trains every branch model alone, and a candidate's interactions, merging and head start
            fresh; of "frozen branches" a candidate trains nothing else. "everything" trains a supernet per set of
            branch models, of which a candidate takes its part.
        samples: images seen in training.
        rate: the peak learning rate.
        fresh_rate: the same for what is not a branch, as a multiple.
        resolutions: full-scale sizes (pixels; shrunken like a design's) that branches are trained at.
        by_width: a branch that is trained alone sees images in proportion to its width, a ViT-B `samples` of them. With
            as many images for all, larger models would be less trained for their size.
        branches: how the branches of a supernet are trained alone before. Supernet and candidates then keep them frozen
            and train interactions, merging and head.

    Beside frozen branches, interactions learn from their first steps on (`DirectedInteraction.start_from_projections`).
    """

    shared: Shared
    samples: int
    rate: float
    fresh_rate: float = 1.0
    resolutions: tuple[int, ...] = (224, 336, 448, 560, 672, 784, 896, 1120, 1344, 1568, 1792)
    by_width: bool = False
    branches: SupernetRecipe | None = None

    def __post_init__(self) -> None:
        if self.branches is not None and self.shared != "everything":
            raise InputError(f"a recipe that shares {self.shared} trains no supernet beside them: leave out `branches`")
        if self.by_width and self.shared == "everything":
            raise InputError("a supernet trains branches of several widths together: give by_width to its `branches`")

    @property
    def freezes_branches(self) -> bool:
        """Whether candidates keep their branches as they are given."""
        return self.shared == "frozen branches" or self.branches is not None


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
        supernet: how the network that a candidate starts from is trained, None to start from random weights.
        weights: files of weights that branch models start from instead; only where models are not shrunken.
        compile: run blocks and interactions through `torch.compile`, once per kind and shape of block.
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
    supernet: SupernetRecipe | None = None
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
        """Return every knob as JSON-ready values, the data as their fingerprint."""
        values = {name: value for name, value in vars(self).items() if name not in ("name", "data")}
        task = {"kind": type(self.task).__name__, **asdict(self.task)}  # type: ignore[call-overload]
        return values | {
            "weights": {weights.model: weights.hash for weights in self.weights},
            "task": task,
            "data": self.data.fingerprint(self.train_images, self.val_images),
            "shrink": asdict(self.shrink),
            "supernet": self.supernet and asdict(self.supernet),
        }


def preset(name: str) -> Preset:
    """Return the preset of this name; `NAME/TASK` is the same recipe for another task.

    Behind either, `@KIND:FOLDER` is a user's own data.

    Raises:
        InputError: there is no such preset or folder, or the data lack what the preset's task needs.
    """
    check_preset(name)
    recipe, at, data = name.partition("@")
    base, slash, task = recipe.partition("/")
    own = PRESETS[base]
    if slash:
        own = replace(own, name=name, task=_task(task))
    if at:
        own = replace(own, name=name, data=open_folder(data))
    if own.task.needs not in own.data.provides:
        have = ", ".join(sorted(own.data.provides))
        raise InputError(f"preset '{base}' trains {own.task.name}, which needs {own.task.needs}; '{data}' has {have}")
    return own


def _task(name: str) -> Task:
    """Return the task of this name: one of ours, or one that an installed package offers."""
    kind = TASKS[name] if name in TASKS else plugins.load("tasks", name)
    try:
        return cast(Task, kind())
    except Exception as error:  # it may raise anything
        raise InputError(f"task '{name}': cannot be made without arguments ({error})") from None


_DENSE_SIZES = (448, 672, 896, 1120, 1568)

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

_DEMO_DETECTION = replace(_DEMO, name="demo-detection", task=TASKS["detection"]())


def _beside_frozen_branches(images: int) -> SupernetRecipe:
    """Return a supernet's recipe that sees so many images, a ViT-B alone half as many again before."""
    sizes = (224, *_DENSE_SIZES)
    alone = SupernetRecipe("branches", images * 3 // 2, rate=1e-3, resolutions=sizes, by_width=True)
    return SupernetRecipe("everything", images, rate=3e-4, fresh_rate=10.0, resolutions=sizes, branches=alone)


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
    supernet=SupernetRecipe("branches", samples=49152, rate=1e-3, resolutions=_DENSE_SIZES),
)

# Branches are frozen early, while interactions still have something to add to them: the longer they were trained alone,
# the less a few hundred steps of interactions are worth (docs/lab-book.md).
_CPU_FROZEN = replace(
    _CPU,
    name="cpu-frozen",
    train_images=2048,
    supernet=SupernetRecipe("frozen branches", samples=8192, rate=1e-3, resolutions=(224, *_DENSE_SIZES)),
)

# A candidate takes its part of a network that was trained once for all designs of its branch models. Its branches are
# frozen later, larger ones last, as interactions learn longer. Objects and textures are coarser than in `cpu`: the
# longer a network is trained, the more fine ones make of the highest resolution and the less of larger models.
_CPU_SUPERNET = replace(
    _CPU,
    name="cpu-supernet",
    data=EmbeddedScenes(SceneRules(digits=5, clutter=4, smallest=0.1, finest=64.0)),
    samples=512,
    rate=1e-4,
    supernet=_beside_frozen_branches(16384),
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
    supernet=SupernetRecipe("branches", samples=49152, rate=1e-3, resolutions=_CLASSIFICATION_SIZES),
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
    supernet=SupernetRecipe("branches", samples=262144, rate=1e-3, resolutions=_DENSE_SIZES),
)

# As on a CPU, branches see all images four times before they are frozen, and candidates twice.
_GPU_FROZEN = replace(
    _GPU,
    name="gpu-frozen",
    supernet=SupernetRecipe("frozen branches", samples=65536, rate=1e-3, resolutions=(224, *_DENSE_SIZES)),
)

# As many steps as on a CPU, at full depth.
_GPU_SUPERNET = replace(
    _GPU,
    name="gpu-supernet",
    data=EmbeddedScenes(SceneRules(smallest=0.1, finest=64.0)),
    samples=2048,
    rate=1e-4,
    supernet=_beside_frozen_branches(65536),
)

_GPU_DETECTION = replace(_GPU, name="gpu-detection-60s", task=TASKS["detection"](head_size=64, dim=64))

_GPU_CLASSIFICATION = replace(
    _GPU,
    name="gpu-classification-60s",
    task=TASKS["classification"](),
    data=EmbeddedScenes(_ONE_OBJECT),
    shrink=Shrink(resolution=2, width=4, patch=2, depth=1),
    supernet=SupernetRecipe("branches", samples=262144, rate=1e-3, resolutions=_CLASSIFICATION_SIZES),
)


def _longer(base: Preset) -> Preset:
    """Return the recipe at six times the images seen."""
    return replace(base, name=base.name.replace("60s", "5min"), samples=6 * base.samples)


_ON_CPU = (_DEMO, _DEMO_DETECTION, _CPU, _CPU_FROZEN, _CPU_SUPERNET, _CPU_DETECTION, _CPU_CLASSIFICATION)
_ON_GPU = (
    _GPU_FROZEN,
    _GPU_SUPERNET,
    *(p for base in (_GPU, _GPU_DETECTION, _GPU_CLASSIFICATION) for p in (base, _longer(base))),
)
_ALL = (*_ON_CPU, *_ON_GPU)

PRESETS = {recipe.name: recipe for recipe in _ALL}
"""All presets by name, one family per hardware class; see docs/proxy.md for what was measured with which."""
