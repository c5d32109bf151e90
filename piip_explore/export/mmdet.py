"""The parts of an mmdetection 2.25 config that no design changes, for files that inherit from nothing.

They say what the files `_base_/models`, `_base_/datasets`, `_base_/schedules` and `_base_/default_runtime.py` of
mmdetection say, with the settings of its COCO baselines.
"""

from __future__ import annotations

from typing import Any

CLASSES = 80
_ROI = {"type": "RoIAlign", "sampling_ratio": 0}
_BOX_STD = [0.1, 0.1, 0.2, 0.2]


def _loss(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": kind, **arguments}


def _cross_entropy(**arguments: Any) -> dict[str, Any]:
    return _loss("CrossEntropyLoss", **arguments, loss_weight=1.0)


def _coder(stds: list[float]) -> dict[str, Any]:
    return {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": stds}


def _assigner(positive: float, negative: float, least: float, low_quality: bool) -> dict[str, Any]:
    return {
        "type": "MaxIoUAssigner",
        "pos_iou_thr": positive,
        "neg_iou_thr": negative,
        "min_pos_iou": least,
        "match_low_quality": low_quality,
        "ignore_iof_thr": -1,
    }


def _sampler(count: int, positive: float, with_truth: bool) -> dict[str, Any]:
    return {
        "type": "RandomSampler",
        "num": count,
        "pos_fraction": positive,
        "neg_pos_ub": -1,
        "add_gt_as_proposals": with_truth,
    }


def _rpn_head(box_loss: dict[str, Any]) -> dict[str, Any]:
    anchors = {"type": "AnchorGenerator", "scales": [8], "ratios": [0.5, 1.0, 2.0], "strides": [4, 8, 16, 32, 64]}
    return {
        "type": "RPNHead",
        "in_channels": 256,
        "feat_channels": 256,
        "anchor_generator": anchors,
        "bbox_coder": _coder([1.0] * 4),
        "loss_cls": _cross_entropy(use_sigmoid=True),
        "loss_bbox": box_loss,
    }


def _extractor(size: int) -> dict[str, Any]:
    return {
        "type": "SingleRoIExtractor",
        "roi_layer": {**_ROI, "output_size": size},
        "out_channels": 256,
        "featmap_strides": [4, 8, 16, 32],
    }


def _box_head(stds: list[float], class_agnostic: bool, box_loss: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Shared2FCBBoxHead",
        "in_channels": 256,
        "fc_out_channels": 1024,
        "roi_feat_size": 7,
        "num_classes": CLASSES,
        "bbox_coder": _coder(stds),
        "reg_class_agnostic": class_agnostic,
        "loss_cls": _cross_entropy(use_sigmoid=False),
        "loss_bbox": box_loss,
    }


def _mask_head() -> dict[str, Any]:
    return {
        "mask_roi_extractor": _extractor(14),
        "mask_head": {
            "type": "FCNMaskHead",
            "num_convs": 4,
            "in_channels": 256,
            "conv_out_channels": 256,
            "num_classes": CLASSES,
            "loss_mask": _cross_entropy(use_mask=True),
        },
    }


def _rpn_training(proposals: int) -> dict[str, Any]:
    return {
        "rpn": {
            "assigner": _assigner(0.7, 0.3, 0.3, True),
            "sampler": _sampler(256, 0.5, False),
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "rpn_proposal": _proposals(2000, proposals),
    }


def _proposals(before: int, after: int) -> dict[str, Any]:
    return {"nms_pre": before, "max_per_img": after, "nms": {"type": "nms", "iou_threshold": 0.7}, "min_bbox_size": 0}


def _stage_training(overlap: float, low_quality: bool) -> dict[str, Any]:
    return {
        "assigner": _assigner(overlap, overlap, overlap, low_quality),
        "sampler": _sampler(512, 0.25, True),
        "mask_size": 28,
        "pos_weight": -1,
        "debug": False,
    }


def _testing() -> dict[str, Any]:
    boxes = {
        "score_thr": 0.05,
        "nms": {"type": "nms", "iou_threshold": 0.5},
        "max_per_img": 100,
        "mask_thr_binary": 0.5,
    }
    return {"rpn": _proposals(1000, 1000), "rcnn": boxes}


def mask_rcnn() -> dict[str, Any]:
    """Return the heads, training and test settings of Mask R-CNN (arXiv 1703.06870)."""
    return {
        "rpn_head": _rpn_head(_loss("L1Loss", loss_weight=1.0)),
        "roi_head": {
            "type": "StandardRoIHead",
            "bbox_roi_extractor": _extractor(7),
            "bbox_head": _box_head(_BOX_STD, False, _loss("L1Loss", loss_weight=1.0)),
            **_mask_head(),
        },
        "train_cfg": {**_rpn_training(1000), "rcnn": _stage_training(0.5, True)},
        "test_cfg": _testing(),
    }


def cascade_mask_rcnn() -> dict[str, Any]:
    """Return the heads, training and test settings of Cascade Mask R-CNN (arXiv 1712.00726): three box stages."""
    smooth = _loss("SmoothL1Loss", beta=1.0, loss_weight=1.0)
    stages = [_box_head([round(std / stage, 3) for std in _BOX_STD], True, smooth) for stage in (1, 2, 3)]
    return {
        "rpn_head": _rpn_head(_loss("SmoothL1Loss", beta=1.0 / 9.0, loss_weight=1.0)),
        "roi_head": {
            "type": "CascadeRoIHead",
            "num_stages": 3,
            "stage_loss_weights": [1, 0.5, 0.25],
            "bbox_roi_extractor": _extractor(7),
            "bbox_head": stages,
            **_mask_head(),
        },
        "train_cfg": {**_rpn_training(2000), "rcnn": [_stage_training(overlap, False) for overlap in (0.5, 0.6, 0.7)]},
        "test_cfg": _testing(),
    }


def _detr_layer(kind: str, attentions: Any, order: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": kind,
        "attn_cfgs": attentions,
        "feedforward_channels": 2048,
        "ffn_dropout": 0.0,
        "operation_order": order,
    }


def dino(width: int) -> dict[str, Any]:
    """Return the head, training and test settings of DINO (arXiv 2203.03605), four scales; `width` is branch 1's."""
    queries = 900
    deformable = {"type": "MultiScaleDeformableAttention", "embed_dims": 256, "num_levels": 4, "dropout": 0.0}
    attention = {"type": "MultiheadAttention", "embed_dims": 256, "num_heads": 8, "dropout": 0.0}
    encoder = _detr_layer("BaseTransformerLayer", deformable, ("self_attn", "norm", "ffn", "norm"))
    decoder = _detr_layer(
        "DetrTransformerDecoderLayer",
        [attention, deformable],
        ("self_attn", "norm", "cross_attn", "norm", "ffn", "norm"),
    )
    transformer = {
        "type": "DinoTransformer",
        "two_stage_num_proposals": queries,
        "encoder": {"type": "DetrTransformerEncoder", "num_layers": 6, "transformerlayers": encoder},
        "decoder": {
            "type": "DinoTransformerDecoder",
            "num_layers": 6,
            "return_intermediate": True,
            "transformerlayers": decoder,
        },
    }
    costs = {
        "cls_cost": {"type": "FocalLossCost", "weight": 2.0},
        "reg_cost": {"type": "BBoxL1Cost", "weight": 5.0, "box_format": "xywh"},
        "iou_cost": {"type": "IoUCost", "iou_mode": "giou", "weight": 2.0},
    }
    head = {
        "type": "DINOHead",
        "num_query": queries,
        "num_classes": CLASSES,
        "in_channels": width,
        "sync_cls_avg_factor": True,
        "as_two_stage": True,
        "with_box_refine": True,
        "dn_cfg": {
            "type": "CdnQueryGenerator",
            "noise_scale": {"label": 0.5, "box": 1.0},
            "group_cfg": {"dynamic": True, "num_groups": None, "num_dn_queries": 100},
        },
        "transformer": transformer,
        "positional_encoding": {
            "type": "SinePositionalEncoding",
            "num_feats": 128,
            "temperature": 20,
            "normalize": True,
        },
        "loss_cls": _loss("FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        "loss_bbox": _loss("L1Loss", loss_weight=5.0),
        "loss_iou": _loss("GIoULoss", loss_weight=2.0),
    }
    return {
        "bbox_head": head,
        "train_cfg": {"assigner": {"type": "HungarianAssigner", **costs}},
        "test_cfg": {"max_per_img": 300},
    }


def coco(split: str) -> dict[str, Any]:
    """Return the COCO 2017 dataset of a split (`train` or `val`), but for its pipeline."""
    root = "data/coco/"
    return {
        "type": "CocoDataset",
        "ann_file": f"{root}annotations/instances_{split}2017.json",
        "img_prefix": f"{root}{split}2017/",
    }


def schedule_1x() -> dict[str, Any]:
    """Return the assignments of the 12-epoch schedule."""
    return {
        "optimizer_config": {"grad_clip": None},
        "lr_config": {
            "policy": "step",
            "warmup": "linear",
            "warmup_iters": 500,
            "warmup_ratio": 0.001,
            "step": [8, 11],
        },
        "runner": {"type": "EpochBasedRunner", "max_epochs": 12},
    }


def runtime() -> dict[str, Any]:
    """Return the assignments of mmdetection's default runtime."""
    return {
        "log_config": {"interval": 50, "hooks": [{"type": "TextLoggerHook"}]},
        "dist_params": {"backend": "nccl"},
        "log_level": "INFO",
        "load_from": None,
        "resume_from": None,
        "workflow": [("train", 1)],
        "opencv_num_threads": 0,
        "mp_start_method": "fork",
        "auto_scale_lr": {"enable": False, "base_batch_size": 16},
    }
