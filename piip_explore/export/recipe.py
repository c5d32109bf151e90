"""How a design is trained, per task: the published recipes as values that you may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from piip_explore.design import Design
from piip_explore.official.pretrained import drop_path

TaskName = Literal["detection", "segmentation", "classification"]
Schedule = Literal["steps", "poly", "cosine"]

TASKS: dict[str, TaskName] = {"coco": "detection", "ade20k": "segmentation", "imagefolder": "classification"}
"""What is trained on every kind of data."""


@dataclass(frozen=True)
class Recipe:
    """How a design is trained: AdamW, and everything else that the published configs choose.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: pictures per step, over all devices.
        lr: the highest learning rate.
        schedule: `steps` falls to a tenth after two thirds and again after eleven twelfths of the training, `poly`
            falls in a straight line and `cosine` in half a cosine, both to zero.
        warmup_epochs: epochs in which the rate rises from zero.
        weight_decay: of matrices; vectors have none.
        layer_decay: factor of the rate from a layer of a ViT branch to the one before it; 1 is no decay.
        new_lr_scale: factor of the rate of all that is not a branch (interactions, merge, heads).
        clip: largest norm of the gradient; 0 does not clip.
        drop_path: stochastic-depth rate of every branch, in the design's order.
        interaction_drop_path: that of the interactions.
        head_width: channels of the detector's feature pyramid and heads.
        augment: timm's name of an automatic augmentation of classification pictures, empty for none.
        mixup, cutmix: strength of mixing classification pictures; 0 does not mix.
        label_smoothing: share of a label that is spread over all classes.
        ema: decay of the moving average of a classifier's weights, which is then what is scored and kept; 0 for none.
        checkpointing: recompute blocks in the backward pass, to save memory.
        precision: `bf16` or `fp32`.
        seed: of weights, order, augmentation and everything else random.
    """

    epochs: int
    batch_size: int
    lr: float
    schedule: Schedule
    warmup_epochs: float
    weight_decay: float
    layer_decay: float
    new_lr_scale: float
    clip: float
    drop_path: tuple[float, ...]
    interaction_drop_path: float = 0.4
    head_width: int = 256
    augment: str = ""
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    checkpointing: bool = False
    precision: str = "bf16"
    seed: int = 0


_OF_ONE_TASK = {
    "head_width": "detection",
    **dict.fromkeys(("augment", "mixup", "cutmix", "label_smoothing", "ema"), "classification"),
}
"""The task of every field that only one has."""

_PUBLISHED: dict[TaskName, dict[str, Any]] = {
    # Mask R-CNN 1x: 500 of 7,330 steps of an epoch warm up.
    "detection": {
        "epochs": 12, "batch_size": 16, "lr": 1e-4, "schedule": "steps", "warmup_epochs": 0.07, "weight_decay": 0.05,
        "layer_decay": 0.85, "new_lr_scale": 1.0, "clip": 0.0,
    },
    # ADE20K, 160k steps of 16 pictures: 127 epochs, 1,500 steps warm up.
    "segmentation": {
        "epochs": 127, "batch_size": 16, "lr": 4e-5, "schedule": "poly", "warmup_epochs": 1.2, "weight_decay": 0.05,
        "layer_decay": 0.95, "new_lr_scale": 1.0, "clip": 0.0,
    },
    # ImageNet, from pre-trained branches. Augmentation is that of the DeiT script which the authors' is made from.
    "classification": {
        "epochs": 20, "batch_size": 1024, "lr": 3e-5, "schedule": "cosine", "warmup_epochs": 5, "weight_decay": 0.1,
        "layer_decay": 1.0, "new_lr_scale": 10.0, "clip": 0.0, "augment": "rand-m9-mstd0.5-inc1", "mixup": 0.8,
        "cutmix": 1.0, "label_smoothing": 0.1, "ema": 0.9999,
    },
}  # fmt: skip


def published(design: Design, task: TaskName) -> Recipe:
    """Return the published recipe of a task, with a design's published stochastic depth.

    Source: arXiv 2501.07783 and the configs of its released code.
    """
    models = [branch.model for branch in design.branches]
    rates = tuple(drop_path(model, set(), classifier=task == "classification") for model in models)
    return Recipe(**_PUBLISHED[task], drop_path=rates)


def fields_of(recipe: Recipe, task: TaskName) -> dict[str, Any]:
    """Return the fields of a recipe that its task has, as plain values."""
    plain = vars(recipe) | {"drop_path": list(recipe.drop_path)}
    return {name: value for name, value in plain.items() if _OF_ONE_TASK.get(name, task) == task}
