"""The parts of an mmsegmentation config that no design changes, for files that inherit from nothing.

They say what the files `_base_/models/upernet_r50.py`, `_base_/datasets/ade20k.py`, `_base_/schedules` and
`_base_/default_runtime.py` of mmsegmentation say.
"""

from __future__ import annotations

from typing import Any

CLASSES = 150
CHANNELS = 1536


def upernet_changes(width: int) -> dict[str, Any]:
    """Return what differs from the inherited heads; `width` is that of all four levels of the backbone."""
    return {
        "decode_head": {"num_classes": CLASSES, "channels": CHANNELS, "in_channels": [width] * 4},
        "auxiliary_head": {"num_classes": CLASSES, "channels": CHANNELS, "in_channels": width},
    }


def upernet(width: int) -> dict[str, Any]:
    """Return the heads of UperNet (arXiv 1807.10221) in full."""
    changes = upernet_changes(width)
    shared = {"dropout_ratio": 0.1, "norm_cfg": {"type": "SyncBN", "requires_grad": True}, "align_corners": False}
    return {
        "decode_head": {
            "type": "UPerHead",
            "in_index": [0, 1, 2, 3],
            "pool_scales": (1, 2, 3, 6),
            **changes["decode_head"],
            **shared,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
        "auxiliary_head": {
            "type": "FCNHead",
            "in_index": 2,
            "num_convs": 1,
            "concat_input": False,
            **changes["auxiliary_head"],
            **shared,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 0.4},
        },
        "train_cfg": {},
    }


def ade20k(split: str) -> dict[str, Any]:
    """Return the ADE20K dataset of a split (`training` or `validation`), but for its pipeline."""
    return {
        "type": "ADE20KDataset",
        "data_root": "data/ade/ADEChallengeData2016",
        "img_dir": f"images/{split}",
        "ann_dir": f"annotations/{split}",
    }


def schedule_80k() -> dict[str, Any]:
    """Return the assignments of the 80,000-iteration schedule."""
    return {
        "optimizer_config": {},
        "runner": {"type": "IterBasedRunner", "max_iters": 80000},
    }


def runtime() -> dict[str, Any]:
    """Return the assignments of mmsegmentation's default runtime."""
    return {
        "log_config": {"interval": 50, "hooks": [{"type": "TextLoggerHook", "by_epoch": False}]},
        "dist_params": {"backend": "nccl"},
        "log_level": "INFO",
        "load_from": None,
        "resume_from": None,
        "workflow": [("train", 1)],
        "cudnn_benchmark": True,
    }
