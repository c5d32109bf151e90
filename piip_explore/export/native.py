"""Training with this package alone: a design, its data and a recipe in YAML, which `piip-explore train` reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import yaml

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.exporter import Exporter, Files, Origin
from piip_explore.export.recipe import TASKS, fields_of, published
from piip_explore.preset_names import merge_serves

_COMMENT = """\
# Train it:  piip-explore train design.yaml --out runs/first     (needs pip install 'piip-explore[train]')
# data: coco:FOLDER trains a detector, ade20k:FOLDER a segmenter, imagefolder:FOLDER a classifier.
# pretrained: weights of branches by their number in the design, such as {1: deit_tiny.pth} or {1: hub:OWNER/REPO/FILE}
"""


@dataclass(frozen=True)
class Native(Exporter):
    """A YAML of design, data and recipe, which `piip-explore train` takes as it is.

    `data`: what to train on, `KIND:FOLDER`; its kind decides the task and the recipe. Without it, ImageNet for designs
    whose merge makes a classifier, else COCO, in folders of usual names.
    """

    name: ClassVar[str] = "native"

    data: str | None = None

    def __post_init__(self) -> None:
        if self.data is not None and self.data.partition(":")[0] not in TASKS:
            raise InputError(f"data '{self.data}': expected {', '.join(f'{kind}:FOLDER' for kind in TASKS)}")

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return the YAML."""
        classifier = merge_serves(design.merge.kind, "classification")
        data = self.data or ("imagefolder:data/imagenet" if classifier else "coco:data/coco")
        task = TASKS[data.partition(":")[0]]
        content: dict[str, Any] = {
            "design": str(design),
            "id": design.id,
            "data": data,
            "pretrained": None,
            "recipe": fields_of(published(design, task), task),
        }
        if origin is not None:
            content["origin"] = asdict(origin)
        return {"design.yaml": _COMMENT + yaml.safe_dump(content, sort_keys=False, width=110)}
