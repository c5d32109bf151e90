"""The authors' classification code: a file with the model alone; the rest are arguments of its training script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from piip_explore.design import Design
from piip_explore.export import limits, training
from piip_explore.export.backbone import CodeBase
from piip_explore.export.exporter import Files, Origin
from piip_explore.export.official import PLAIN_VITS, OfficialExporter, plain_vit
from piip_explore.export.pyconfig import render

_RECIPE = (
    "Published recipe: AdamW, lr 3e-5 (ten times that for exchanges and merge), batch 1024, 20 epochs, 5 of warm-up,",
    "weight decay 0.05.",
)


@dataclass(frozen=True)
class OfficialClassification(OfficialExporter):
    """A config that the authors' classification code trains as it is."""

    name: ClassVar[str] = "official-classification"
    code_base: ClassVar[CodeBase] = "classification"
    rules: ClassVar = (
        limits.at_most(4),
        limits.known_models(plain_vit, PLAIN_VITS, "it has plain ViTs and InternViT"),
        limits.exchanges,
        limits.merged_by("separate-heads", "linear"),
        limits.all_merged,
    )

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return one config file."""
        header = [*training.header(design, "ImageNet-1k classification", origin), *_RECIPE]
        stem = f"piip_{design.id}_imagenet"
        return {f"{stem}.py": render(self.config(design), header), **self.weight_files(design, stem)}

    def config(self, design: Design) -> dict[str, Any]:
        """Return the assignments of the config file, with their notes."""
        return {"model": {"backbone": self.arguments(design)}}
