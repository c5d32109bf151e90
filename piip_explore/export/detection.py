"""The authors' detection code (mmdetection 2.25): Mask R-CNN, Cascade Mask R-CNN and DINO on COCO, 12 epochs."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from piip_explore import catalog
from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.export import dino, limits, training
from piip_explore.export.backbone import branch_classes
from piip_explore.export.exporter import Misfit, Origin
from piip_explore.export.official_exporter import PLAIN_VITS, OfficialExporter, free_vit
from piip_explore.official import four_branches
from piip_explore.official.arguments import CodeBase
from piip_explore.official.pretrained import WEIGHTS, PretrainedWeights

Head = Literal["mask-rcnn", "cascade-rcnn", "dino"]
_BASES = {"mask-rcnn": "mask_rcnn_r50_fpn", "cascade-rcnn": "cascade_mask_rcnn_r50_fpn"}
_TYPES = {"mask-rcnn": "MaskRCNN", "cascade-rcnn": "CascadeRCNN", "dino": "DINO"}


def _accepted(branch: Branch) -> bool:
    """Catalogued models but CLIP's, and free ViTs of patch 16 (a free ConvNeXt has no name that its class loads)."""
    if branch.model in WEIGHTS:
        return not branch.model.startswith("clip")
    return free_vit(branch)


def _buildable(design: Design) -> Misfit | None:
    """The class of two branches makes only plain ViTs, that of four only DeiTs."""
    classes = branch_classes("detection", len(design.branches))
    names = [name for name, choices in WEIGHTS.items() if any(w.branch_class in classes for w in choices)]
    own = {"vit_models"} & set(classes)

    def accepted(branch: Branch) -> bool:
        return branch.model in names if branch.model in WEIGHTS else bool(own)

    return limits.known_models(accepted, names, f"with {len(design.branches)} branches it has {', '.join(names)}")(
        design
    )


def _falling(design: Design) -> Misfit | None:
    return None if len(design.branches) == 3 else limits.widths_fall(design)


def _levels_of_a_cnn(design: Design) -> Misfit | None:
    """A ConvNeXt as the largest branch gives its own stages as levels; nothing is up-sampled from its last map."""
    largest = design.branches[design.order[0]]
    if len(design.branches) == 1 or design.merge.kind != "conv" or not isinstance(largest.spec, catalog.ConvNeXt):
        return None
    reason = f"it merges '{largest}' as the largest branch only with merge=conv-multilevel"
    if design.interaction is not None and design.interaction.count >= 4:
        return Misfit(reason, replace(design, merge=replace(design.merge, kind="conv-multilevel")))
    vit = limits.nearest_branch(largest, [name for name in PLAIN_VITS if name in WEIGHTS])
    branches = tuple(vit if branch is largest else branch for branch in design.branches)
    return Misfit(f"{reason}, which needs interactions=4 or more", replace(design, branches=branches))


@dataclass(frozen=True)
class OfficialDetection(OfficialExporter):
    """A config that the authors' detection code trains as it is.

    `head`: the detector.
    """

    name: ClassVar[str] = "official-detection"
    code_base: ClassVar[CodeBase] = "detection"
    rules: ClassVar = (
        limits.at_most(4),
        limits.known_models(_accepted, [n for n in WEIGHTS if not n.startswith("clip")], "it has ViT, BEiT, ConvNeXt"),
        _buildable,
        _falling,
        limits.interactions,
        limits.merged_by("conv", "conv-multilevel"),
        limits.multilevel_of_three,
        _levels_of_a_cnn,
        limits.widths_of_32(all_branches=False),
        limits.all_merged,
        limits.weighted_as_published,
    )

    head: Head = "mask-rcnn"

    def __post_init__(self) -> None:
        if self.head not in get_args(Head):
            raise InputError(f"head '{self.head}': expected one of {', '.join(get_args(Head))}")

    @property
    def what(self) -> str:
        """The detector, and where the config goes."""
        return f"{_TYPES[self.head]} on COCO, 1x schedule (put it into configs/piip/ of the detection code)"

    def header(self, design: Design, origin: Origin | None) -> list[str]:
        """Return the usual lines, after what to mend in the authors' code where there are four branches."""
        lines = super().header(design, origin)
        if len(design.branches) < 4:
            return lines
        mend = f"Mend their code first: {four_branches.MEND}. Without that, {four_branches.FAULT}."
        return [*textwrap.wrap(mend, 110, break_on_hyphens=False), *lines]

    def stem(self, design: Design) -> str:
        """Return the config's file name without its suffix."""
        return f"{self.head.replace('-', '_')}_piip_{design.id}_1x_coco"

    def config(self, design: Design) -> dict[str, Any]:
        """Return the assignments of the config file, with their notes."""
        made: dict[str, Any] = {"_base_": self._bases(), "model": self._model(design)}
        made |= self._data(design, self.chosen_weights(design))
        made["optimizer"] = self._optimizer(design)
        if self.head == "dino":
            made["optimizer_config"] = {"_delete_": True, "grad_clip": {"max_norm": 0.1, "norm_type": 2}}
        made |= training.DEEPSPEED
        made["checkpoint_config"] = {"interval": 1, "max_keep_ckpts": 1, "deepspeed": True}
        made["custom_imports"] = {"imports": ["mmcv_custom"], "allow_failed_imports": False}
        made["custom_hooks"] = [{"type": "ToBFloat16HookMMDet", "priority": 49}]
        return made

    def _bases(self) -> list[str]:
        data = "coco_detection" if self.head == "dino" else "coco_instance"
        shared = [f"datasets/{data}.py", "schedules/schedule_1x.py", "default_runtime.py"]
        models = [f"models/{_BASES[self.head]}.py"] if self.head in _BASES else []
        return [f"../../_base_/{name}" for name in (*models, *shared)]

    def _model(self, design: Design) -> dict[str, Any]:
        made = self.arguments(design)
        if self.head == "dino":
            if len(design.branches) == 1:
                raise InputError("head 'dino' reads a backbone of several branches: choose mask-rcnn or cascade-rcnn")
            if design.merge.kind != "conv":
                raise InputError(
                    "head 'dino' reads only the final map: choose mask-rcnn or cascade-rcnn, or merge=conv"
                )
            made["is_dino"] = True
            width = design.branches[design.order[-1]].spec.out_dim
            return {"type": "DINO", "backbone": made, "neck": self._neck(design), **dino.model(width)}
        return {"backbone": {"_delete_": True, **made}, "neck": self._neck(design)}

    def _neck(self, design: Design) -> dict[str, Any]:
        widths = level_widths(design)
        if self.head != "dino":
            return {"type": "FPN", "in_channels": widths, "out_channels": 256, "num_outs": 5}
        return {
            "type": "ChannelMapper",
            "in_channels": widths[1:],
            "kernel_size": 1,
            "out_channels": 256,
            "act_cfg": None,
            "norm_cfg": {"type": "GN", "num_groups": 32},
            "num_outs": 4,
        }

    def _data(self, design: Design, chosen: dict[str, PretrainedWeights]) -> dict[str, Any]:
        masks = self.head != "dino"
        size = design.resolution
        scale = (size, size * 800 // 1333)
        norm = {"type": "Normalize", **training.image_norm(design, chosen)}
        pad = {"type": "Pad", "size_divisor": training.pad_divisor(design)}
        annotations = {"type": "LoadAnnotations", "with_bbox": True, **({"with_mask": True} if masks else {})}
        keys = ["img", "gt_bboxes", "gt_labels", *(["gt_masks"] if masks else [])]
        train = [
            {"type": "LoadImageFromFile"},
            annotations,
            {"type": "Resize", "img_scale": scale, "keep_ratio": True},
            {"type": "RandomFlip", "flip_ratio": 0.5},
            norm,
            pad,
            {"type": "DefaultFormatBundle"},
            {"type": "Collect", "keys": keys},
        ]
        transforms = [{"type": "Resize", "keep_ratio": True}, {"type": "RandomFlip"}, norm, pad]
        return training.pipelines(train, scale, transforms)

    def _optimizer(self, design: Design) -> dict[str, Any]:
        """Return the published optimizer: twice the rate for DINO, ConvNeXt and the three-branch InternViT-6B."""
        alone, convnext = len(design.branches) == 1, training.has_convnext(design)
        large = len(design.branches) > 2 and any(branch.model == "intern_vit_6b" for branch in design.branches)
        twice = self.head == "dino" or large or (convnext and not alone)
        adamw = {"type": "AdamW", "lr": 2e-4 if twice else 1e-4, "betas": (0.9, 0.999), "weight_decay": 0.05}
        if alone and convnext:
            return {"_delete_": True, **adamw}
        rate = 0.95 if alone else 0.8 if convnext else 0.85
        constructor = "CustomLayerDecayOptimizerConstructorMMDet"
        decay = {"constructor": constructor, "paramwise_cfg": training.layer_decay(design, rate)}
        return {"_delete_": True, **adamw, **decay}


def level_widths(design: Design) -> list[int]:
    """Return the channels of the backbone's four levels: branch 1's, at the interaction before each merge."""
    spec = design.branches[design.order[-1]].spec
    if design.merge.kind == "conv-multilevel" and design.interaction is not None:
        ends = catalog.positions(spec, design.interaction.count)
        return [*(spec.width(ends[k]) for k in design.merge.levels(design.interaction)), spec.out_dim]
    if len(design.branches) == 1 and isinstance(spec, catalog.ConvNeXt):
        return list(spec.dims)
    return [spec.out_dim] * 4
