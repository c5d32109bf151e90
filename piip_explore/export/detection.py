"""The authors' detection code (mmdetection 2.25): Mask R-CNN, Cascade Mask R-CNN and DINO on COCO, 12 epochs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from piip_explore import catalog
from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.export import dino, limits
from piip_explore.export.backbone import branch_classes
from piip_explore.export.exporter import Misfit, Origin
from piip_explore.export.official_exporter import PLAIN_VITS, OfficialExporter, free_vit
from piip_explore.export.pyconfig import Name
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
        made |= DEEPSPEED
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
        norm = {"type": "Normalize", **image_norm(design, chosen)}
        pad = {"type": "Pad", "size_divisor": pad_divisor(design)}
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
        return pipelines(train, scale, transforms)

    def _optimizer(self, design: Design) -> dict[str, Any]:
        """Return the published optimizer: twice the rate for DINO, ConvNeXt and the three-branch InternViT-6B."""
        alone, convnext = len(design.branches) == 1, has_convnext(design)
        large = len(design.branches) > 2 and any(branch.model == "intern_vit_6b" for branch in design.branches)
        twice = self.head == "dino" or large or (convnext and not alone)
        adamw = {"type": "AdamW", "lr": 2e-4 if twice else 1e-4, "betas": (0.9, 0.999), "weight_decay": 0.05}
        if alone and convnext:
            return {"_delete_": True, **adamw}
        rate = 0.95 if alone else 0.8 if convnext else 0.85
        constructor = "CustomLayerDecayOptimizerConstructorMMDet"
        decay = {"constructor": constructor, "paramwise_cfg": layer_decay(design, rate)}
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


# ---- Settings that follow from a design, most of them in the authors' segmentation code too

DEEPSPEED = {"deepspeed": True, "deepspeed_config": "zero_configs/adam_zero1_bf16.json"}
"""The assignments that train under DeepSpeed; checkpoints and the bfloat16 hook go with them."""

IMAGENET_NORM = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}
HALF_NORM = {"mean": [127.5, 127.5, 127.5], "std": [127.5, 127.5, 127.5], "to_rgb": True}


def has_convnext(design: Design) -> bool:
    """Say whether any branch is a ConvNeXt."""
    return any(isinstance(branch.spec, catalog.ConvNeXt) for branch in design.branches)


def image_norm(design: Design, chosen: dict[str, PretrainedWeights]) -> dict[str, Any]:
    """Return mean and standard deviation of the images: ImageNet's beside ConvNeXt or 384-pixel DeiT III weights."""
    imagenet = has_convnext(design) or any(weights.family == "deit3-384" for weights in chosen.values())
    return IMAGENET_NORM if imagenet else HALF_NORM


def pipelines(train: Sequence[object], scale: tuple[int, int], transforms: Sequence[object]) -> dict[str, Any]:
    """Return the config's pipelines and the data sets that use them; tests see whole images at one scale."""
    tensors = [{"type": "ImageToTensor", "keys": ["img"]}, {"type": "Collect", "keys": ["img"]}]
    whole = {"type": "MultiScaleFlipAug", "img_scale": scale, "flip": False, "transforms": [*transforms, *tensors]}
    sets: dict[str, Any] = {"samples_per_gpu": 2, "workers_per_gpu": 2}
    for name, pipeline in (("train", "train"), ("val", "test"), ("test", "test")):
        sets[name] = {"pipeline": Name(f"{pipeline}_pipeline")}
    return {"train_pipeline": train, "test_pipeline": [{"type": "LoadImageFromFile"}, whole], "data": sets}


def pad_divisor(design: Design) -> int:
    """Return what the padded image's sides are multiples of (pixels).

    Source: the published configs (224 with windows of 14 or 28, 64 without windows, 32 beside ConvNeXt); other windows
    are padded to whole windows of 16-pixel patches.
    """
    if has_convnext(design):
        return 32
    windows = [branch.window for branch in design.branches if branch.window]
    if not windows:
        return 64
    return 224 if all(window % 14 == 0 for window in windows) else 16 * max(windows)


_CONVNEXT_LAYERS = 12
"""What the published configs give as the depth of a ConvNeXt as branch 1; its own parameters are not decayed there."""


def _depth_strides(design: Design, layers: int) -> list[int | float]:
    """Return how many layers of branch 1 pass for one block of each other branch (`skip_stride`).

    A ConvNeXt's stride is never read, because its parameters are not decayed. The published configs give the ratio of
    the third stages beside another ConvNeXt, and 1 beside a ViT.
    """
    specs = [design.branches[i].spec for i in reversed(design.order)]
    strides: list[float] = []
    for spec in specs[1:]:
        if isinstance(spec, catalog.ConvNeXt):
            strides.append(specs[0].depths[2] / spec.depths[2] if isinstance(specs[0], catalog.ConvNeXt) else 1)
        else:
            strides.append(round(layers / spec.depth, 4))
    return [int(s) for s in strides] if all(s == int(s) for s in strides) else list(strides)


def layer_decay(design: Design, rate: float) -> dict[str, Any]:
    """Return the arguments of the authors' layer-decay optimizer constructor."""
    lowest = design.branches[design.order[-1]].spec
    layers = _CONVNEXT_LAYERS if isinstance(lowest, catalog.ConvNeXt) else lowest.depth
    arguments: dict[str, Any] = {"num_layers": layers, "layer_decay_rate": rate}
    if len(design.branches) > 1:
        arguments["skip_stride"] = _depth_strides(design, layers)
    return arguments
