"""The published rows as the regression sees them: design, metric, and what else set a row's result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from piip_explore import published
from piip_explore.design import Design

METRICS = {"box_ap": "box AP", "miou": "mIoU", "top1": "top-1"}
"""The metrics that are expected, and what people call them."""

TASKS = {"box_ap": "coco-detection", "miou": "ade20k-segmentation", "top1": "imagenet-classification"}
"""The task behind each metric."""

USUAL = {"box_ap": "Mask R-CNN 1x", "miou": "UperNet 160k", "top1": "classifier"}
"""The recipe under which a metric is expected."""

_USUAL_PRETRAINING = {
    "box_ap": ("", "DeiT III", "DeiT III (S/B/L), DeiT (T)", "DeiT III (384)", "DeiT III / ConvNeXt", "ConvNeXt"),
    "miou": ("DeiT III", "DeiT III (S/B/L), DeiT (T)"),
    "top1": ("DeiT", "AugReg"),
}
_OF_6B = "Intern"
"""What the pre-trainings of designs with InternViT-6B have in their names: there is one of it, and so no choice."""


@dataclass(frozen=True)
class Published:
    """Published results as columns: `value` (percent) of `metric`, `recipe` (head and schedule), `pretrain`, `table`.

    A table is what was trained alike and printed together: rows of one source and recipe.
    """

    name: tuple[str, ...]
    design: tuple[Design, ...]
    metric: tuple[str, ...]
    recipe: tuple[str, ...]
    pretrain: tuple[str, ...]
    table: tuple[str, ...]
    value: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.name)

    def __getitem__(self, keep: npt.NDArray[np.bool_]) -> Published:
        index = np.flatnonzero(keep)
        texts = ("name", "metric", "recipe", "pretrain", "table")
        columns = {name: tuple(getattr(self, name)[row] for row in index) for name in texts}
        return Published(design=tuple(self.design[row] for row in index), value=self.value[index], **columns)


def none_predicted(metric: str) -> str:
    """Return what a table of designs says if it predicts the metric of none of them."""
    return f"The {METRICS[metric]} of these designs cannot be predicted: no published row is like any of them"


@cache
def published_rows() -> Published:
    """Return every published row with a metric, the ablations among them.

    Rows whose printed FLOPs cannot be reproduced stay: their branches and resolutions are printed too.
    """
    merging = published.merge_ablation().assign(
        source="merge ablation", task=TASKS["box_ap"], head=USUAL["box_ap"], pretrain=""
    )
    merging["row"] = "merge-" + merging["out_branches"].astype(str)
    frame = pd.concat([published.load(), published.ablations(), merging], ignore_index=True)
    records = []
    for row in frame.to_dict("records"):
        for metric in METRICS:
            if not pd.isna(row.get(metric)):
                recipe = USUAL["top1"] if metric == "top1" else str(row["head"])
                pretrain = str(row["pretrain"]).replace("nan", "")
                usual = pretrain in _USUAL_PRETRAINING[metric] or _OF_6B in pretrain
                pretrain = "usual" if usual else f"{metric}, {pretrain}"
                table = f"{row['source']}, {metric}, {recipe}"
                records.append((row["row"], row["design"], metric, recipe, pretrain, table, row[metric]))
    name, text, metrics, recipes, pretrains, tables, values = zip(*records, strict=True)
    designs = tuple(map(Design.parse, text))
    return Published(name, designs, metrics, recipes, pretrains, tables, np.array(values, float))
