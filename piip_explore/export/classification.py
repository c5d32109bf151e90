"""The authors' classification code: a file with only the model; the rest are arguments of its training script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from piip_explore.design import Design
from piip_explore.export import limits
from piip_explore.export.exporter import Misfit, Origin
from piip_explore.export.official_exporter import PLAIN_VITS, OfficialExporter, plain_vit
from piip_explore.official.arguments import CodeBase


def _windows_beside_class_tokens(design: Design) -> Misfit | None:
    """Separate heads bring class tokens, which the authors' window attention cannot place."""
    return limits.no_windows(design) if design.merge.kind == "separate-heads" else None


@dataclass(frozen=True)
class OfficialClassification(OfficialExporter):
    """A config that the authors' classification code trains as it is."""

    name: ClassVar[str] = "official-classification"
    code_base: ClassVar[CodeBase] = "classification"
    what: ClassVar[str] = "ImageNet-1k classification (put it into configs/ of the classification code)"
    rules: ClassVar = (
        limits.at_most(4),
        limits.known_models(plain_vit, PLAIN_VITS, "it has plain ViTs and InternViT"),
        limits.widths_fall,
        limits.interactions,
        limits.merged_by("separate-heads", "linear"),
        limits.widths_of_32(all_branches=True),
        limits.all_merged,
        limits.weighted_as_published,
        _windows_beside_class_tokens,
    )

    def header(self, design: Design, origin: Origin | None) -> list[str]:
        """Return the usual lines, and the command that trains with the published recipe: batches of 1024 on 8 GPUs."""
        stem = self.stem(design)
        resume = f" --resume {stem}.pth" if self.weights else ""
        return [
            *super().header(design, origin),
            "Train it from the folder of the classification code, with the published recipe:",
            "  python -m torch.distributed.launch --nproc_per_node=8 --use_env main.py \\",
            f"    --model {stem}.py --data-path IMAGENET --output_dir {stem}{resume} \\",
            "    --batch-size 128 --epochs 20 --lr 3e-5 --unscale-lr --from_scratch_lr_ratio 10 --weight-decay 0.1 \\",
            "    --no-repeated-aug --reprob 0.0",
        ]

    def stem(self, design: Design) -> str:
        """Return the config's file name without its suffix; that code finds the class by the words in it."""
        count = len(design.branches)
        if count > 1:
            return f"piip_{count}branch_{design.id}_imagenet"
        (weights,) = self.chosen_weights(design).values()
        return f"{'deit' if weights.branch_class == 'vit_models' else 'augreg'}_{design.id}_imagenet"

    def config(self, design: Design) -> dict[str, Any]:
        """Return the assignments of the config file, with their notes."""
        return {"model": {"backbone": self.arguments(design)}}
