"""The authors' networks from their constructor arguments and weights."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from piip_explore import catalog
from piip_explore.errors import InputError
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.interaction import InteractionLayer
from piip_explore.models.merging import (
    DinoPyramid,
    MapMerge,
    NoMerge,
    PooledHead,
    SeparateHeads,
    SimplePyramid,
    WeightedSum,
)
from piip_explore.models.pyramid import BranchModule, Pyramid
from piip_explore.models.tensors import not_finite, odd
from piip_explore.models.vit import VisionTransformer
from piip_explore.official.four_branches import as_trained
from piip_explore.official.names import our_name
from piip_explore.official.network import OfficialBranch, OfficialNetwork, read_network

FAMILIES = ("classification", "detection", "segmentation")


def load_official(family: str, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> Pyramid:
    """Build the network that the authors' code builds from the same arguments, with the given weights.

    Args:
        family: `classification`, `detection` or `segmentation`: the code base whose defaults apply.
        config: the constructor arguments of `PIIPTwoBranch`, `PIIPThreeBranch` or `PIIPFourBranch`.
        state_dict: tensors under the authors' names.

    Returns:
        A network whose branch 0 is the authors' last (highest-resolution) branch, for images of the size that theirs
        takes. Tensors that the authors' forward pass never reads are kept in its attribute `unused`, under their names.

    Warns:
        UserWarning: the weights belong to another network than the arguments describe (detection with four branches).

    Raises:
        InputError: an argument that the authors' code does not support, or weights that do not fit the arguments; the
            sentence lists the names.
    """
    if family not in FAMILIES:
        raise InputError(f"family '{family}': expected one of {', '.join(FAMILIES)}")
    network = read_network(config, family)  # type: ignore[arg-type]
    network, notes = as_trained(network, {name: tuple(tensor.shape) for name, tensor in state_dict.items()})
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return load_network(network, state_dict)


def load_network(network: OfficialNetwork, state_dict: Mapping[str, Tensor]) -> Pyramid:
    """Build a network as the authors' code does, with weights under their names; see `load_official`."""
    model = _build(network, state_dict)
    ours: dict[str, Tensor] = {}
    unused: dict[str, Tensor] = {}
    wanted = model.state_dict()
    for name, tensor in state_dict.items():
        renamed = our_name(name, len(network.branches), network.merge, network.levels)
        if renamed.endswith(".pos_embed") and tensor.ndim > 1 and math.isqrt(tensor.shape[1]) ** 2 != tensor.shape[1]:
            unused[name + "[:, :1]"], tensor = tensor[:, :1], tensor[:, 1:]  # the class slot, not used by the authors
        if renamed in wanted:
            ours[renamed] = tensor
        else:
            unused[name] = tensor
    _check(wanted, ours, [name for name in unused if not _unread(name, network)])
    model.load_state_dict(ours, assign=False)
    model.unused = unused
    return model


_UNREAD = re.compile(
    r".*\[:, :1\]|fpn1\..*|branch\d\.(convnext_model\.layernorm\.(weight|bias)|cls_token|(norm|head)\.(weight|bias))"
)


def _unread(name: str, network: OfficialNetwork) -> bool:
    """Say whether the released state dicts hold a tensor that the authors' forward pass does not read."""
    behind_the_last = re.match(r"branch(\d)\.blocks\.(\d+)\.", name)
    if behind_the_last:
        return int(behind_the_last[2]) >= network.branches[int(behind_the_last[1]) - 1].spec.blocks
    return _UNREAD.fullmatch(name) is not None


def _check(wanted: Mapping[str, Tensor], ours: Mapping[str, Tensor], unknown: list[str]) -> None:
    problems = [f"{name} is missing" for name in wanted if name not in ours]
    problems += [f"{name} is unknown" for name in unknown]
    problems += [
        f"{name} {why}"
        for name, tensor in ours.items()
        if wanted[name].is_floating_point() and (why := odd(tensor) or not_finite(tensor, wanted[name].dtype))
    ]
    problems += [
        f"{name} has shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
        for name, tensor in ours.items()
        if tensor.shape != wanted[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise InputError(f"the weights do not fit the arguments: {'; '.join(problems[:8])}{more}")


def _build(network: OfficialNetwork, state: Mapping[str, Tensor]) -> Pyramid:
    if network.interaction is None:
        raise InputError(
            "one branch alone: load_official takes two to four; load_branch (piip_explore.models.weights) loads one"
        )
    count = len(network.branches)
    sections = network.branches[::-1]
    sizes = [branch.size for branch in sections]
    branches = [_branch(branch, state.get(f"branch{count - j}.pos_embed")) for j, branch in enumerate(sections)]
    ends = [branch.ends for branch in sections]
    widths = [[branch.spec.width(branch.ends[k]) for branch in sections] for k in range(network.interaction.count)]
    pairs = network.interaction.pairs(count)
    interactions = [InteractionLayer(w, pairs, network.interaction) for w in widths]
    merge, head = _output(network, widths)
    # The segmentation code's class of three branches takes images of the second branch's size.
    given = sizes[1] if network.code_base == "segmentation" and count == 3 else None
    return Pyramid(branches, sizes, ends, interactions, merge, head, given)


def _branch(branch: OfficialBranch, position: Tensor | None) -> BranchModule:
    if branch.branch_class in ("BEiT", "UnifiedBertEncoder", "CLIP"):
        raise InputError(f"{branch.branch_class} branches of the authors' checkpoints cannot be loaded")
    spec = branch.spec
    if isinstance(spec, catalog.ConvNeXt):
        return ConvNeXtBranch(spec)
    entries = position.shape[1] if position is not None else (branch.size // spec.patch) ** 2
    return VisionTransformer(spec, math.isqrt(entries), branch.windows, branch.class_token)


def _output(network: OfficialNetwork, widths: list[list[int]]) -> tuple[MapMerge | NoMerge, nn.Module | None]:
    everyone = range(len(network.branches))
    target, reference = len(network.branches) - 1, 0
    if network.merge == "separate-heads":
        assert network.classes is not None
        return NoMerge(everyone), SeparateHeads(widths[-1], network.classes)
    sums = [WeightedSum(network.merge, widths[k], everyone, target, reference) for k in (*network.levels, -1)]
    if network.code_base == "classification":
        return MapMerge(sums), None if network.classes is None else PooledHead(widths[-1][target], network.classes)
    return MapMerge(sums, network.levels, _pyramid(network, [merge.dim for merge in sums])), None


def _pyramid(network: OfficialNetwork, dims: list[int]) -> nn.Module | None:
    if isinstance(network.branches[-1].spec, catalog.ConvNeXt):
        return None
    if network.dino:
        return DinoPyramid(dims[0])
    return SimplePyramid(dims if len(dims) > 1 else dims * 4)
