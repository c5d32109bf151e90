"""The authors' detection code (mmdetection 2.25): Mask R-CNN, Cascade Mask R-CNN and DINO on COCO, 12 epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from piip_explore import catalog
from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.export import limits, mmdet, training
from piip_explore.export.backbone import CodeBase
from piip_explore.export.exporter import Files, Origin
from piip_explore.export.official import OfficialExporter
from piip_explore.export.pretrained import WEIGHTS, Weights
from piip_explore.export.pyconfig import Name, render

Head = Literal["mask-rcnn", "cascade-rcnn", "dino"]
_BASES = {"mask-rcnn": "mask_rcnn_r50_fpn", "cascade-rcnn": "cascade_mask_rcnn_r50_fpn"}
_TYPES = {"mask-rcnn": "MaskRCNN", "cascade-rcnn": "CascadeRCNN", "dino": "DINO"}


def _accepted(branch: Branch) -> bool:
    """Catalogued models but CLIP's, and free ViTs of patch 16 (a free ConvNeXt has no name that its class loads)."""
    if branch.model in WEIGHTS:
        return not branch.model.startswith("clip")
    return isinstance(branch.spec, catalog.ViT) and branch.spec.patch == 16


@dataclass(frozen=True)
class OfficialDetection(OfficialExporter):
    """A config that the authors' detection code trains as it is.

    `head`: the detector. `self_contained`: write out what is otherwise inherited from the `_base_` files of the
    authors' code (the config then lies anywhere).
    """

    name: ClassVar[str] = "official-detection"
    code_base: ClassVar[CodeBase] = "detection"
    rules: ClassVar = (
        limits.at_most(4),
        limits.known_models(_accepted, [n for n in WEIGHTS if not n.startswith("clip")], "it has ViT, BEiT, ConvNeXt"),
        limits.exchanges,
        limits.merged_by("conv", "conv-multilevel"),
        limits.multilevel_of_three,
        limits.all_merged,
    )

    head: Head = "mask-rcnn"
    self_contained: bool = False

    def __post_init__(self) -> None:
        if self.head not in get_args(Head):
            raise InputError(f"head '{self.head}': expected one of {', '.join(get_args(Head))}")

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return one config file."""
        stem = f"{self.head.replace('-', '_')}_piip_{design.id}_1x_coco"
        what = f"{_TYPES[self.head]} on COCO, 1x schedule (put it into configs/piip/ of the detection code)"
        weights = self.weight_files(design, stem)
        config = self.config(design) | ({"load_from": f"{stem}.pth"} if weights else {})
        return {f"{stem}.py": render(config, training.header(design, what, origin)), **weights}

    def config(self, design: Design) -> dict[str, Any]:
        """Return the assignments of the config file, with their notes."""
        made: dict[str, Any] = {} if self.self_contained else {"_base_": self._bases()}
        made["model"] = self._model(design)
        made |= self._data(design, self.chosen_weights(design))
        if self.self_contained:
            made |= mmdet.schedule_1x() | mmdet.runtime()
        made["optimizer"] = self._optimizer(design)
        made["deepspeed"] = True
        made["deepspeed_config"] = "zero_configs/adam_zero1_bf16.json"
        made["custom_imports"] = {"imports": ["mmcv_custom"], "allow_failed_imports": False}
        made["custom_hooks"] = [{"type": "ToBFloat16HookMMDet", "priority": 49}]
        return made

    def _bases(self) -> list[str]:
        data = "coco_detection" if self.head == "dino" else "coco_instance"
        shared = [f"datasets/{data}.py", "schedules/schedule_1x.py", "default_runtime.py"]
        models = [f"models/{_BASES[self.head]}.py"] if self.head in _BASES else []
        return [f"../../_base_/{name}" for name in (*models, *shared)]

    def _delete(self) -> dict[str, bool]:
        """Return what makes a dictionary replace the inherited one instead of joining it."""
        return {} if self.self_contained else {"_delete_": True}

    def _model(self, design: Design) -> dict[str, Any]:
        made = self.arguments(design)
        if self.head == "dino":
            if len(design.branches) == 1:
                raise InputError("head 'dino' reads a backbone of several branches: choose mask-rcnn or cascade-rcnn")
            made["is_dino"] = True
        whole = self.self_contained or self.head == "dino"
        model: dict[str, Any] = {"type": _TYPES[self.head]} if whole else {}
        drop = self._delete() if self.head in _BASES else {}
        model |= {"backbone": {**drop, **made}, "neck": self._neck(design)}
        if self.head == "dino":
            model |= mmdet.dino(design.branches[design.order[-1]].spec.out_dim)
        elif self.self_contained:
            model |= mmdet.mask_rcnn() if self.head == "mask-rcnn" else mmdet.cascade_mask_rcnn()
        return model

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

    def _data(self, design: Design, chosen: dict[str, Weights]) -> dict[str, Any]:
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
        transforms = [
            {"type": "Resize", "keep_ratio": True},
            {"type": "RandomFlip"},
            norm,
            pad,
            {"type": "ImageToTensor", "keys": ["img"]},
            {"type": "Collect", "keys": ["img"]},
        ]
        test = [
            {"type": "LoadImageFromFile"},
            {"type": "MultiScaleFlipAug", "img_scale": scale, "flip": False, "transforms": transforms},
        ]
        sets: dict[str, Any] = {"samples_per_gpu": 2, "workers_per_gpu": 2}
        for name, split, pipeline in (("train", "train", "train"), ("val", "val", "test"), ("test", "val", "test")):
            base = mmdet.coco(split) if self.self_contained else {}
            sets[name] = {**base, "pipeline": Name(f"{pipeline}_pipeline")}
        metric = ["bbox", "segm"] if masks else "bbox"
        evaluation = {"evaluation": {"metric": metric}} if self.self_contained else {}
        return {"train_pipeline": train, "test_pipeline": test, "data": sets, **evaluation}

    def _optimizer(self, design: Design) -> dict[str, Any]:
        """Return the published optimizer: twice the rate for DINO, ConvNeXt and the three-branch InternViT-6B."""
        convnext = training.has_convnext(design)
        large = len(design.branches) > 2 and any(branch.model == "intern_vit_6b" for branch in design.branches)
        return {
            **self._delete(),
            "type": "AdamW",
            "lr": 2e-4 if convnext or large or self.head == "dino" else 1e-4,
            "betas": (0.9, 0.999),
            "weight_decay": 0.05,
            "constructor": "CustomLayerDecayOptimizerConstructorMMDet",
            "paramwise_cfg": training.layer_decay(design, 0.8 if convnext else 0.85),
        }


def level_widths(design: Design) -> list[int]:
    """Return the channels of the backbone's four levels: branch 1's, at the exchange that a level is merged after."""
    spec = design.branches[design.order[-1]].spec
    if design.merge.kind == "conv-multilevel" and design.interaction is not None:
        ends = catalog.positions(spec, design.interaction.count)
        return [*(spec.width(ends[k]) for k in design.merge.levels(design.interaction)), spec.out_dim]
    if len(design.branches) == 1 and isinstance(spec, catalog.ConvNeXt):
        return list(spec.dims)
    return [spec.out_dim] * 4
