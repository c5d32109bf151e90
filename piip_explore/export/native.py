"""Training with this package alone: a design and a recipe in YAML, and a script that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from piip_explore.design import Design
from piip_explore.export.exporter import Exporter, Files, Origin

_SCRIPT = Path(__file__).parent / "train_script.py"

CLASSIFIERS = ("linear", "separate-heads")


def task(design: Design) -> str:
    """Return what a design is trained for: its merge is made for classification or for dense prediction."""
    return "classification" if design.merge.kind in CLASSIFIERS else "segmentation"


@dataclass(frozen=True)
class Recipe:
    """How a design is trained: AdamW with a cosine schedule, the exchanges and the merge faster than the branches.

    The defaults are the published ImageNet recipe (arXiv 2501.07783): learning rate 3e-5 at batch 1024, 20 epochs with
    5 of warm-up, exchanges and merge at ten times the branches' rate.
    """

    classes: int = 1000
    epochs: int = 20
    warmup_epochs: int = 5
    batch_size: int = 1024
    lr: float = 3e-5
    exchange_lr_scale: float = 10.0
    weight_decay: float = 0.05
    drop_path: float = 0.1
    checkpointing: bool = False
    precision: str = "bf16"
    seed: int = 0


DENSE = Recipe(classes=150, epochs=127, warmup_epochs=1, batch_size=16, lr=4e-5, exchange_lr_scale=1.0)
"""The recipe for dense prediction: the published ADE20K settings, 160k iterations of 16 images (127 epochs there)."""


@dataclass(frozen=True)
class Native(Exporter):
    """A YAML of design and recipe, and a single-file script that trains the network (DDP, bf16, resumable).

    In the YAML, `data` are the folders of images (the script says how they are laid out), and `pretrained` may name
    pre-trained weights per branch, by its number in the design: `{1: deit_tiny.pth}`, or `hub:OWNER/REPOSITORY/FILE`.
    """

    name: ClassVar[str] = "native"

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return the YAML and the script."""
        recipe = Recipe() if task(design) == "classification" else DENSE
        content: dict[str, Any] = {
            "design": str(design),
            "id": design.id,
            "task": task(design),
            "recipe": vars(recipe),
            "data": {"train": "data/train", "val": "data/val"},
            "pretrained": None,
        }
        if origin is not None:
            content["origin"] = {
                "study": origin.study,
                "trial": origin.trial,
                "scores": dict(origin.scores),
                "conditions": dict(origin.conditions),
            }
        return {
            "design.yaml": yaml.safe_dump(content, sort_keys=False, width=110),
            "train.py": _SCRIPT.read_text(encoding="utf-8"),
        }
