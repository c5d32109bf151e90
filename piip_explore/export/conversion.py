"""Weights of ours under the authors' names, and theirs as ours: the same tensors, renamed one to one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.checkpoints import OurWeights, read_checkpoint
from piip_explore.export.official_branch import branch_class
from piip_explore.export.official_import import Imported
from piip_explore.models import build, load_official
from piip_explore.models.official_names import official_name


def to_official(
    state: Mapping[str, Tensor],
    code_base: str,
    arguments: Mapping[str, Any],
    unused: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return a state dict under the authors' names: the inverse of `load_official`.

    Args:
        state: our state dict, branches in order from the highest resolution.
        code_base: `detection`, `segmentation` or `classification`.
        arguments: the authors' constructor arguments of the same network.
        unused: the authors' tensors that our network does not read (`load_official(...).unused`). What their network
            needs of these and is not given is made as it is initialised.

    Raises:
        InputError: two tensors for one name, or classes other than the 1000 that their separate heads have.
    """
    unused = dict(unused or {})
    sections = [arguments[f"branch{i}"] for i in range(1, 9) if f"branch{i}" in arguments][::-1]
    classes = [branch_class(section, code_base, str(section.get("pretrained") or "")) for section in sections]
    for index, branch in enumerate(classes):
        if branch in ("BEiT", "UnifiedBertEncoder"):
            raise InputError(
                f"weights of branch {len(classes) - index} cannot be written for the authors' {branch} class"
            )
    gamma = [index for index, branch in enumerate(classes) if branch == "vit_models"]
    levels = arguments.get("out_interaction_indexes") or ()
    kind = _merge_kind(state, code_base, len(sections))
    if kind == "separate-heads" and state["head.heads.0.weight"].shape[0] != 1000:
        raise InputError("the authors' separate heads have 1000 classes: train with 1000, or with merge=linear")
    theirs: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _is_left_out(name, tensor, sections, classes, code_base):
            continue
        renamed = official_name(name, len(sections), kind, levels, gamma)
        if renamed.endswith(".pos_embed"):
            tensor = _with_class_slot(renamed, tensor, classes[len(sections) - int(renamed[6])], unused)
        if renamed in theirs:
            raise InputError(f"two tensors of ours are the authors' '{renamed}'")
        theirs[renamed] = tensor
    for index, kind_of_branch in enumerate(classes):
        if kind_of_branch == "ConvNextHFWrapper":
            width = state[f"branches.{index}.stages.3.blocks.0.gamma"]
            norm = f"branch{len(sections) - index}.convnext_model.layernorm."
            theirs |= {norm + "weight": torch.ones_like(width), norm + "bias": torch.zeros_like(width)}
    return theirs | unused


def _is_left_out(
    name: str, tensor: Tensor, sections: Sequence[Mapping[str, Any]], classes: Sequence[str], code_base: str
) -> bool:
    """Say whether `name` is a LayerScale that the authors' InternViT6B goes without (init_values=None).

    Raises:
        InputError: it scales by anything but one.
    """
    match = re.fullmatch(r"branches\.(\d+)\.blocks\.\d+\.ls\d\.gamma", name)
    index = int(match[1]) if match else -1
    missing = None if code_base == "classification" else 0.1
    if index < 0 or classes[index] != "InternViT6B" or sections[index].get("init_values", missing) is not None:
        return False
    if bool((tensor != 1).any()):
        raise InputError(
            f"'{name}' scales by other than one, and the config gives its branch no LayerScale (init_values=None): "
            "set init_values=1.0 there"
        )
    return True


def _merge_kind(state: Mapping[str, Tensor], code_base: str, branches: int) -> str:
    if "head.norms.0.weight" in state:
        return "separate-heads"
    if code_base == "classification":
        return "linear"
    return "conv-multilevel" if state[f"merge.sums.0.adapters.{branches - 1}.0.weight"].ndim == 1 else "conv"


def _with_class_slot(name: str, position: Tensor, kind: str, unused: dict[str, Tensor]) -> Tensor:
    """Put the slot back that the authors' InternViT6B has for a class token it does not use."""
    slot = unused.pop(f"{name}[:, :1]", None)
    if slot is None and kind == "InternViT6B":
        slot = torch.zeros_like(position[:, :1])
    return position if slot is None else torch.cat([slot, position], 1)


def in_sorted_order(state: Mapping[str, Tensor], design: Design) -> dict[str, Tensor]:
    """Rename our state dict of a design in any order of branches to that of `design.sorted()`."""
    rank = {str(index): str(place) for place, index in enumerate(design.order)}
    one_branch = re.compile(r"(branches\.|head\.(?:norm|head)s\.|merge\.sums\.\d+\.(?:adapters|scales)\.)(\d+)(.*)")

    def rename(name: str) -> str:
        if match := one_branch.fullmatch(name):
            return match[1] + rank[match[2]] + match[3]
        if match := re.fullmatch(r"(interactions\.\d+\.directions\.)(\d+)_(\d+)(\..+)", name):
            return f"{match[1]}{rank[match[2]]}_{rank[match[3]]}{match[4]}"
        return name

    return {rename(name): tensor for name, tensor in state.items()}


@dataclass(frozen=True)
class Converted:
    """The authors' checkpoint as weights of ours.

    `left_out` counts their tensors outside the backbone by module; `fresh` are names of the design's network for which
    their network has no tensor, at the values that a fresh network starts from.
    """

    weights: OurWeights
    left_out: Mapping[str, int]
    fresh: tuple[str, ...]


def convert(imported: Imported, path: Path) -> Converted:
    """Return the authors' checkpoint of an imported config as weights that fit the design's network.

    Raises:
        InputError: an unreadable file, a code base without released checkpoints, or tensors that do not fit the config.
    """
    if imported.code_base == "llava" or len(imported.design.branches) == 1:
        raise InputError(f"checkpoints of '{imported.design}' in the {imported.code_base} code cannot be converted")
    checkpoint = read_checkpoint(path)
    try:
        model = load_official(imported.code_base, imported.backbone, checkpoint.tensors)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None
    state = model.state_dict()
    fresh = _fresh(imported.design, state)
    left_out = Counter(name.partition(".")[0] for name in checkpoint.left_out)
    return Converted(OurWeights(imported.design, state | fresh, model.unused), dict(left_out), tuple(fresh))


def _fresh(design: Design, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the design's network has beside `state` (LayerScale, DINO's finest level), as it is initialised."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classes = 1000 if any(name.startswith("head.") for name in state) else None
        with torch.device("meta"):
            names = build(design, num_classes=classes).state_dict()
        if names.keys() <= state.keys():
            return {}
        own = build(design, num_classes=classes).state_dict()
    return {name: tensor for name, tensor in own.items() if name not in state}
