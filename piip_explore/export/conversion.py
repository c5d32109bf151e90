"""Weights of ours under the authors' names, and theirs as ours: the same tensors, renamed one to one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.checkpoints import OurWeights, read_checkpoint
from piip_explore.models import Pyramid, build
from piip_explore.models.official import load_network
from piip_explore.models.vit import resample_positions
from piip_explore.models.weights import load_branch
from piip_explore.official.four_branches import as_trained
from piip_explore.official.import_design import Imported, design_of, other_class_tokens, other_positions
from piip_explore.official.names import official_name, our_name
from piip_explore.official.network import OfficialNetwork


def to_official(
    state: Mapping[str, Tensor], network: OfficialNetwork, unused: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return a state dict under the authors' names: the inverse of `load_official`.

    Args:
        state: our state dict, branches in order from the highest resolution.
        network: the same network as the authors' code builds it.
        unused: the authors' tensors that our network does not read (`load_official(...).unused`). Those that their
            network needs and that are not given get their initial values.

    Raises:
        InputError: a branch class without a way back, images of other than three channels, or classes other than the
            1000 that their separate heads have.
    """
    unused = dict(unused or {})
    count = len(network.branches)
    classes = [branch.branch_class for branch in reversed(network.branches)]
    for number, branch in enumerate(network.branches, start=1):
        if branch.branch_class in ("BEiT", "UnifiedBertEncoder"):
            raise InputError(
                f"weights of branch {number} cannot be written for the authors' {branch.branch_class} class"
            )
    if (channels := _channels(state)) != 3:
        raise InputError(
            f"the authors' classes take images of 3 channels, but these weights take {channels}: use --target onnx or "
            "torch-export"
        )
    if network.merge == "separate-heads" and state["head.heads.0.weight"].shape[0] != network.classes:
        raise InputError("the authors' separate heads have 1000 classes: train with 1000, or with merge=linear")
    gamma = [index for index, kind in enumerate(classes) if kind == "vit_models"]
    theirs: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _is_left_out(name, tensor, network):
            continue
        renamed = official_name(name, count, network.merge, network.levels, gamma)
        if renamed.endswith(".pos_embed"):
            tensor = _with_class_slot(renamed, tensor, classes[count - int(renamed[6])], unused)
        theirs[renamed] = tensor
    for index, kind in enumerate(classes):
        if kind == "ConvNextHFWrapper":
            width = state[f"branches.{index}.stages.3.blocks.0.gamma"]
            norm = f"branch{count - index}.convnext_model.layernorm."
            theirs |= {norm + "weight": torch.ones_like(width), norm + "bias": torch.zeros_like(width)}
    return theirs | unused


_SCALE = re.compile(r"branches\.(\d+)\.blocks\.\d+\.ls\d\.gamma")


def _is_left_out(name: str, tensor: Tensor, network: OfficialNetwork) -> bool:
    """Say whether `name` is a LayerScale that the authors' branch goes without (init_values=None).

    Raises:
        InputError: it scales by anything but one.
    """
    match = _SCALE.fullmatch(name)
    if match is None or network.branches[-1 - int(match[1])].spec.layer_scale:  # type: ignore[union-attr]
        return False
    if bool((tensor != 1).any()):
        raise InputError(
            f"'{name}' scales by other than one, and the config gives its branch no LayerScale (init_values=None): "
            "set init_values=1.0 there"
        )
    return True


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


def load_ours(design: Design, weights: OurWeights, source: Path) -> Pyramid:
    """Build the network of a design, branches from the highest resolution down, with weights of ours.

    Position embeddings are resampled to the branches' grids, as the forward pass does with other grids: those of an
    imported detector have the grid of its pre-training.

    Raises:
        InputError: the weights are those of another design, or do not fit this one; `source` is their file.
    """
    if weights.design.id != design.id:
        raise InputError(f"'{source}' holds weights of '{weights.design}', not of '{design}'")
    state = at_own_grids(in_sorted_order(weights.state, weights.design), design.sorted())
    head = next((state[name] for name in ("head.fc.weight", "head.heads.0.weight") if name in state), None)
    classes = None if head is None else head.shape[0]
    model = build(design.sorted(), num_classes=classes, in_channels=_channels(state))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"'{source}' does not fit '{design}': {str(error).splitlines()[-1].strip()}") from None
    return model


def _channels(state: Mapping[str, Tensor]) -> int:
    """Return the channels of the images that a network of ours takes, by its first convolutions."""
    first = re.compile(r"branches\.\d+\.(patch_embed\.proj|stem\.0)\.weight")
    return next((tensor.shape[1] for name, tensor in state.items() if tensor.ndim == 4 and first.fullmatch(name)), 3)


def at_own_grids(state: Mapping[str, Tensor], design: Design) -> dict[str, Tensor]:
    """Resample position embeddings to the branches' own grids, as the network's forward pass does."""
    made = dict(state)
    for index, branch in enumerate(design.branches):
        name = f"branches.{index}.pos_embed"
        if name in made:
            position = made[name]
            made[name] = resample_positions(position.float(), (branch.grid, branch.grid)).to(position.dtype)
    return made


@dataclass(frozen=True)
class Converted:
    """The authors' checkpoint as weights of ours.

    `left_out` counts their tensors outside the backbone by module; `fresh` are names of the design's network for which
    their network has no tensor; they have a fresh network's values. `notes` are remarks.
    """

    weights: OurWeights
    left_out: Mapping[str, int]
    fresh: tuple[str, ...]
    notes: tuple[str, ...] = ()


def convert(imported: Imported, path: Path) -> Converted:
    """Return the authors' checkpoint of an imported config as weights that fit the design's network.

    Raises:
        InputError: an unreadable file, a network that computes something else than the design's, or tensors that do not
            fit the config.
    """
    network = imported.network
    if network.code_base == "llava":
        raise InputError("the LLaVA code keeps its encoders in Hugging Face's models, not in a checkpoint to convert")
    if network.interaction is None:
        return _convert_single(imported, path)
    checkpoint = read_checkpoint(path)
    network, notes = as_trained(network, {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()})
    if other := [*other_positions(network), *other_class_tokens(network)]:
        raise InputError(
            f"the design's network does not compute what this checkpoint's does ({'; '.join(other)}): "
            "piip_explore.models.load_official runs it as it is"
        )
    try:
        model = load_network(network, checkpoint.tensors)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None
    design = design_of(network)
    state = model.state_dict()
    state |= _finest_level(design, model)
    fresh = _fresh(design, state)
    left_out = Counter(name.partition(".")[0] for name in checkpoint.left_out)
    return Converted(OurWeights(design, state | fresh, model.unused), dict(left_out), tuple(fresh), tuple(notes))


def _convert_single(imported: Imported, path: Path) -> Converted:
    """Convert the checkpoint of a detector or segmenter with one branch, whose names are its pre-training's."""
    if imported.code_base == "classification":
        raise InputError(
            "a classifier of one branch has timm's names already: `load_branch` (piip_explore.models.weights) and the "
            "`pretrained` of `piip-explore train` read the file as it is"
        )
    checkpoint = read_checkpoint(path)
    tensors = {name.removeprefix("convnext_model."): tensor for name, tensor in checkpoint.tensors.items()}
    pyramid = {name for name in tensors if re.match(r"fpn\d\.", name)}
    model = build(imported.design)
    try:
        report = load_branch(
            model.branches[0],  # type: ignore[arg-type]
            {name: tensor for name, tensor in tensors.items() if name not in pyramid},
        )
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None
    left_out = Counter(name.partition(".")[0] for name in (*checkpoint.left_out, *pyramid, *report.left_out))
    fresh = tuple(f"branches.0.{name}" for name in report.initial)
    return Converted(OurWeights(imported.design, model.state_dict(), {}), dict(left_out), fresh)


def _finest_level(design: Design, model: Pyramid) -> dict[str, Tensor]:
    """Take the finest level of the design's pyramid out of what a DINO detector keeps and does not read."""
    if design.merge.kind != "conv":
        return {}
    names = [name for name in model.unused if name.startswith("fpn1.")]
    return {our_name(name, len(design.branches), "conv"): model.unused.pop(name) for name in names}


def _fresh(design: Design, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the design's network has besides `state` (LayerScale, DINO's finest level), with initial values."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classes = 1000 if any(name.startswith("head.") for name in state) else None
        with torch.device("meta"):
            names = build(design, num_classes=classes).state_dict()
        if names.keys() <= state.keys():
            return {}
        own = build(design, num_classes=classes).state_dict()
    return {name: tensor for name, tensor in own.items() if name not in state}
