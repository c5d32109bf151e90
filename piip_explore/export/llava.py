"""The authors' LLaVA code: the vision encoder of two branches and its projectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from piip_explore.catalog import ConvNeXt
from piip_explore.design import Branch, Design, Interaction, Merge
from piip_explore.export import limits
from piip_explore.export.backbone import interaction_arguments, interaction_indexes
from piip_explore.export.exporter import Exporter, Files, Misfit, Origin
from piip_explore.export.official_exporter import header, kept
from piip_explore.export.pyconfig import Noted, render
from piip_explore.official.pretrained import WEIGHTS, weights

ENCODERS = ("clip_base", "clip_large", "convnext_base", "convnext_large")
_CLIP_224_UP_TO = 256
"""Largest branch (pixels) that takes CLIP-L's 224-pixel weights; the published encoders go from 256 to 336."""


def _two_branches(design: Design) -> Misfit | None:
    if len(design.branches) > 1:
        return None
    (branch,) = design.branches
    pair = (Branch("clip_base", 2 * (branch.resolution // 16) * 16 or 32), branch)
    mended = Design(pair, Interaction(), Merge("none"))
    return Misfit("it has one branch, the target takes two", mended)


def _clip_at_low_resolution(design: Design) -> Misfit | None:
    low = design.order[-1]
    branch = design.branches[low]
    if not isinstance(branch.spec, ConvNeXt):
        return None
    clip = Branch("clip_large", max(1, round(branch.resolution / 16)) * 16)
    branches = tuple(clip if i == low else other for i, other in enumerate(design.branches))
    return Misfit(f"its low-resolution branch is a CLIP ViT, not '{branch}'", replace(design, branches=branches))


@dataclass(frozen=True)
class OfficialLlava(Exporter):
    """The encoder's config of the authors' LLaVA code: CLIP at the low resolution, CLIP or ConvNeXt at the high one.

    `keep`: backbone arguments of an imported config of the same design; they stand in the file as they are.
    """

    name: ClassVar[str] = "official-llava"
    rules: ClassVar = (
        limits.at_most(2),
        limits.known_models(lambda b: b.model in ENCODERS, ENCODERS, "it has CLIP-B and -L, ConvNeXt-B and -L"),
        _two_branches,
        _clip_at_low_resolution,
        limits.no_windows,
        limits.interactions,
        limits.merged_by("none"),
        limits.all_merged,
    )

    keep: Mapping[str, Any] | None = None

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return one config file."""
        lines = header(design, "llava", "PIIP-LLaVA vision encoder", origin)
        return {f"piip_llava_{design.id}.py": render(self.config(design), lines)}

    def config(self, design: Design) -> dict[str, Any]:
        """Return the assignments of the config file, with their notes."""
        low, high = (design.branches[i] for i in reversed(design.order))
        projector = {
            "type": "separate_2branch_v1",
            "dim1": low.spec.out_dim,
            "dim2": high.spec.out_dim,
            "norm": "gn",
        }
        return {"model": {"backbone": self.arguments(design), "projector": projector}}

    def arguments(self, design: Design) -> dict[str, Any]:
        """Return the encoder's arguments, or those kept.

        Raises:
            InputError: the kept arguments are those of another design or code base.
        """
        if self.keep is not None:
            return kept(self.keep, design, "llava")
        assert design.interaction is not None
        low, high = (design.branches[i] for i in reversed(design.order))
        return {
            **interaction_arguments(design.interaction),
            "model_cls": "2branch_mix" if isinstance(high.spec, ConvNeXt) else "2branch_v1",
            "unfreeze": "none",
            "use_branch_merging": False,
            "branch1": _encoder(low, design.interaction.count),
            "branch2": _encoder(high, design.interaction.count),
        }


def _encoder(branch: Branch, count: int) -> dict[str, Any]:
    spec = branch.spec
    ranges = interaction_indexes(spec, count)
    chosen = weights(branch.model, "clip")
    if branch.model == "clip_large" and branch.resolution <= _CLIP_224_UP_TO:
        chosen = WEIGHTS["clip_large"][1]
    pretrained = Noted(chosen.path, chosen.note)
    if isinstance(spec, ConvNeXt):
        return {
            "model_type": "convnext_timm",
            "img_size": branch.resolution,
            "interaction_indexes": ranges,
            "downsample_ratios": [spec.stride(block) for block in range(spec.blocks)],
            "pretrained": pretrained,
        }
    return {
        "model_type": "clip_hf",
        "img_size": branch.resolution,
        "patch_size": spec.patch,
        "pretrain_patch_size": chosen.patch,
        "interaction_indexes": ranges,
        "pretrained": pretrained,
        "use_cls_token": True,
    }
