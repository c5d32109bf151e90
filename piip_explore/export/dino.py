"""The DINO detector of an mmdetection 2.25 config; the code has no `_base_` file to inherit it from."""

from __future__ import annotations

from typing import Any


def _detr_layer(kind: str, attentions: Any, order: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": kind,
        "attn_cfgs": attentions,
        "feedforward_channels": 2048,
        "ffn_dropout": 0.0,
        "operation_order": order,
    }


def model(width: int) -> dict[str, Any]:
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
        "num_classes": 80,
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
        "loss_cls": {"type": "FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25, "loss_weight": 1.0},
        "loss_bbox": {"type": "L1Loss", "loss_weight": 5.0},
        "loss_iou": {"type": "GIoULoss", "loss_weight": 2.0},
    }
    return {
        "bbox_head": head,
        "train_cfg": {"assigner": {"type": "HungarianAssigner", **costs}},
        "test_cfg": {"max_per_img": 300},
    }
