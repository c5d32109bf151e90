"""The authors' segmentation code (mmsegmentation): UperNet on ADE20K, 80k iterations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from piip_explore.design import Design
from piip_explore.export import limits
from piip_explore.export.backbone import resizable
from piip_explore.export.detection import DEEPSPEED, image_norm, layer_decay, pipelines
from piip_explore.export.exporter import Misfit
from piip_explore.export.official_exporter import PLAIN_VITS, OfficialExporter, plain_vit
from piip_explore.official.arguments import CodeBase
from piip_explore.official.pretrained import weights


@dataclass(frozen=True)
class OfficialSegmentation(OfficialExporter):
    """A config that the authors' segmentation code trains as it is."""

    name: ClassVar[str] = "official-segmentation"
    code_base: ClassVar[CodeBase] = "segmentation"
    what: ClassVar[str] = "UperNet on ADE20K, 80k iterations (put it into configs/piip/ of the segmentation code)"
    rules: ClassVar = (
        limits.at_most(3),
        limits.known_models(plain_vit, PLAIN_VITS, "it has plain ViTs and InternViT"),
        limits.widths_fall,
        limits.interactions,
        limits.merged_by("conv"),
        limits.widths_of_32(all_branches=False),
        limits.all_merged,
        limits.weighted_as_published,
    )

    def misfits(self, design: Design) -> list[Misfit]:
        """Return what this target cannot express; among it, sizes that pre-trained positions cannot be resized to."""
        found = super().misfits(design)
        if self.weights is None and self.keep is None:
            misfit = self._not_resizable(found[-1].mended if found else design)
            found += [misfit] if misfit else []
        return found

    def _not_resizable(self, design: Design) -> Misfit | None:
        sizes = {}
        for branch in design.branches:
            chosen = weights(branch.model, self.pretrain.get(branch.model))
            if chosen.branch_class == "vit_models":
                sizes[branch] = resizable(branch.resolution, chosen)
        refused = [branch for branch, size in sizes.items() if size != branch.resolution]
        if not refused:
            return None
        branches = tuple(replace(b, resolution=sizes.get(b, b.resolution)) for b in design.branches)
        reason = f"it cannot resize pre-trained positions to '{refused[0]}'"
        return Misfit(reason, replace(design, branches=branches))

    def stem(self, design: Design) -> str:
        """Return the config's file name without its suffix."""
        return f"upernet_piip_{design.id}_80k_ade20k"

    def config(self, design: Design) -> dict[str, Any]:
        """Return the assignments of the config file, with their notes."""
        names = ("models/upernet_r50", "datasets/ade20k", "default_runtime", "schedules/schedule_80k")
        made: dict[str, Any] = {"_base_": [f"../../_base_/{name}.py" for name in names], "model": self._model(design)}
        made |= self._data(design)
        made["optimizer"] = self._optimizer(design)
        made["lr_config"] = {
            "_delete_": True,
            "policy": "poly",
            "warmup": "linear",
            "warmup_iters": 1500,
            "warmup_ratio": 1e-6,
            "power": 1.0,
            "min_lr": 0.0,
            "by_epoch": False,
        }
        made |= DEEPSPEED
        made["checkpoint_config"] = {"by_epoch": False, "interval": 2000, "max_keep_ckpts": 1, "deepspeed": True}
        made["evaluation"] = {"interval": 2000, "metric": "mIoU", "pre_eval": True}
        made["custom_imports"] = {"imports": ["mmcv_custom"], "allow_failed_imports": False}
        made["custom_hooks"] = [{"type": "ToBFloat16Hook", "priority": 49}]
        return made

    def _model(self, design: Design) -> dict[str, Any]:
        width = design.branches[design.order[-1]].spec.out_dim
        size = input_size(design)
        head = {"num_classes": 150, "channels": 1536}
        return {
            "pretrained": None,
            "backbone": {"_delete_": True, **self.arguments(design)},
            "decode_head": {**head, "in_channels": [width] * 4},
            "auxiliary_head": {**head, "in_channels": width},
            "test_cfg": {"mode": "slide", "crop_size": (size, size), "stride": (size * 2 // 3, size * 2 // 3)},
        }

    def _data(self, design: Design) -> dict[str, Any]:
        size = input_size(design)
        norm = {"type": "Normalize", **image_norm(design, self.chosen_weights(design))}
        train = [
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "reduce_zero_label": True},
            {"type": "Resize", "img_scale": (4 * size, size), "ratio_range": (0.5, 2.0)},
            {"type": "RandomCrop", "crop_size": (size, size), "cat_max_ratio": 0.75},
            {"type": "RandomFlip", "prob": 0.5},
            {"type": "PhotoMetricDistortion"},
            norm,
            {"type": "Pad", "size": (size, size), "pad_val": 0, "seg_pad_val": 255},
            {"type": "DefaultFormatBundle"},
            {"type": "Collect", "keys": ["img", "gt_semantic_seg"]},
        ]
        transforms = [{"type": "Resize", "keep_ratio": True}, {"type": "RandomFlip"}, norm]
        return pipelines(train, (4 * size, size), transforms)

    def _optimizer(self, design: Design) -> dict[str, Any]:
        decay = layer_decay(design, 0.95)
        if len(design.branches) == 2:
            decay["skip_stride"] = decay["skip_stride"][0]  # a single number is what this code base takes for two
        return {
            "_delete_": True,
            "type": "AdamW",
            "lr": 4e-5,
            "betas": (0.9, 0.999),
            "weight_decay": 0.05,
            "constructor": "CustomLayerDecayOptimizerConstructor",
            "paramwise_cfg": decay,
        }


def input_size(design: Design) -> int:
    """Return the size of the images that the authors' class takes (pixels): the largest branch's resolution.

    Their class of three branches takes images of the second branch's and enlarges them for the third.
    """
    return design.branches[design.order[1 if len(design.branches) == 3 else 0]].resolution
