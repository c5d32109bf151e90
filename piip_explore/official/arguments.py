"""The constructor arguments of the authors' classes: their defaults, and the class of every branch.

Only arguments that shape the network are here; the others (paths, checkpointing, stochastic depth) pass through.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args

from piip_explore.errors import InputError

CodeBase = Literal["detection", "segmentation", "classification", "llava"]
BranchClass = Literal["vit_models", "InternViT6B", "BEiT", "UnifiedBertEncoder", "ConvNextHFWrapper", "CLIP"]
"""The authors' class of a branch; `CLIP` stands for the two encoder classes of the LLaVA code."""

Arguments = Mapping[str, Any]
T = TypeVar("T")

SINGLE_CLASSES: tuple[BranchClass, ...] = tuple(kind for kind in get_args(BranchClass) if kind != "CLIP")
"""The branch classes that a config may name as its whole backbone."""

CLASS_NAMES = {2: "PIIPTwoBranch", 3: "PIIPThreeBranch", 4: "PIIPFourBranch"}
"""The authors' class for a number of branches."""

BACKBONE_DEFAULTS: dict[str, Any] = {
    "n_points": 4,
    "deform_num_heads": 6,
    "with_cffn": False,
    "cffn_ratio": 0.25,
    "deform_ratio": 1.0,
    "interact_attn_type": "normal",
    "interaction_proj": True,
    "is_dino": False,
    "with_simple_fpn": True,
    "out_interaction_indexes": [],
    "separate_head": False,
    "use_cls_head": True,
    "num_classes": 1000,
}
"""Defaults of the classes of several branches, in all code bases that have the argument."""

_VIT = {"depth": 12, "embed_dim": 768, "num_heads": 12, "patch_size": 16, "mlp_ratio": 4.0}
BRANCH_DEFAULTS: dict[BranchClass, dict[str, Any]] = {
    "vit_models": {**_VIT, "qkv_bias": False, "use_flash_attn": False},
    "BEiT": {**_VIT, "qkv_bias": False, "init_values": None},
    "UnifiedBertEncoder": {**_VIT},
    "InternViT6B": {
        "depth": 48,
        "embed_dim": 3200,
        "num_heads": 25,
        "patch_size": 14,
        "mlp_ratio": 4,
        "qkv_bias": False,
        "init_values": 0.1,
        "qk_normalization": True,
        "norm_layer_type": "RMSNorm",
        "use_flash_attn": True,
    },
}
"""Defaults of the branch classes in the detection and segmentation code."""

CLASSIFICATION_DEFAULTS: dict[BranchClass, dict[str, Any]] = {
    "vit_models": {"use_cls_token": True},
    "InternViT6B": {
        "patch_size": 16,
        "init_values": None,
        "qk_normalization": False,
        "norm_layer_type": "ln",
        "use_cls_token": True,
    },
}
"""What the classification code has in addition to these, or instead of them."""

CLASS_WORDS: dict[BranchClass, str] = {
    "vit_models": "deit",
    "BEiT": "beit",
    "UnifiedBertEncoder": "perceiver",
    "ConvNextHFWrapper": "convnext",
}
"""The word in the path of a branch's weights that chooses its class; any other path makes an InternViT6B."""

_MODEL_TYPES: dict[str, BranchClass] = {"deit": "vit_models", "augreg": "InternViT6B"}


def branch_class(section: Arguments, code_base: CodeBase) -> BranchClass:
    """Return the authors' class that a branch becomes: its `type`, its `model_type`, or a word in its weights' path.

    Raises:
        InputError: `model_type` or `pretrained` is not what the code base takes.
    """
    if "type" in section:
        return choice(section, "type", {name: name for name in SINGLE_CLASSES})
    if code_base == "llava":
        return "CLIP"
    if code_base == "classification":
        return choice({"model_type": "deit", **section}, "model_type", _MODEL_TYPES)
    path = pretrained_path(section)
    return next((kind for kind, word in CLASS_WORDS.items() if word in path), "InternViT6B")


def pretrained_path(section: Arguments) -> str:
    """Return the path or name of a branch's pre-trained weights, empty where there is none.

    Raises:
        InputError: it is not a string.
    """
    path = section.get("pretrained") or ""
    if not isinstance(path, str):
        raise InputError(f"pretrained={shown(path)}, expected a path")
    return path


def complete(section: Arguments, kind: BranchClass, code_base: CodeBase) -> dict[str, Any]:
    """Return a branch's arguments with the defaults of its class."""
    extra = CLASSIFICATION_DEFAULTS.get(kind, {}) if code_base == "classification" else {}
    return {**BRANCH_DEFAULTS.get(kind, {}), **extra, **section}


def choice(arguments: Arguments, key: str, meanings: Mapping[str, T]) -> T:
    """Return the meaning of an argument that is one of a few words.

    Raises:
        InputError: it is missing or something else.
    """
    value = arguments.get(key)
    if not isinstance(value, str) or value not in meanings:
        raise InputError(f"{key}={shown(value)}: expected {' or '.join(meanings)}")
    return meanings[value]


def positive(arguments: Arguments, key: str) -> int:
    """Return an argument that is a positive whole number.

    Raises:
        InputError: it is missing or something else.
    """
    value = arguments.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value != int(value):
        raise InputError(f"{key}={shown(value)}, expected a positive whole number")
    return int(value)


def number(arguments: Arguments, key: str) -> float:
    """Return an argument that is a number.

    Raises:
        InputError: it is something else.
    """
    value = arguments.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{key}={shown(value)}: expected a number")
    return float(value)


def shown(value: Any) -> str:
    """Return a short text of any value of a config, however large it is."""
    return reprlib.repr(value)
