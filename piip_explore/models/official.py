"""The authors' networks from their constructor arguments and weights (`official_configs`, spec, last section)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from piip_explore import catalog
from piip_explore.design import Interaction
from piip_explore.errors import InputError
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.interaction import Exchange
from piip_explore.models.merging import (
    DinoPyramid,
    MapMerge,
    NoMerge,
    PooledHead,
    SeparateHeads,
    SimplePyramid,
    WeightedSum,
)
from piip_explore.models.official_names import our_name
from piip_explore.models.pyramid import BranchModule, Pyramid
from piip_explore.models.vit import VisionTransformer

FAMILIES = ("classification", "detection", "segmentation")
Config = Mapping[str, Any]


def load_official(family: str, config: Config, state_dict: Mapping[str, Tensor]) -> Pyramid:
    """Build the network that the authors' code builds from the same arguments, with the given weights.

    Args:
        family: `classification`, `detection` or `segmentation`: the code base whose defaults apply.
        config: the constructor arguments of `PIIPTwoBranch`, `PIIPThreeBranch` or `PIIPFourBranch`.
        state_dict: tensors under the authors' names.

    Returns:
        A network whose branch 0 is the authors' last (highest-resolution) branch, for images of the size that theirs
        takes. Tensors that the authors' forward pass never reads are kept in its attribute `unused`, under their names.

    Raises:
        InputError: an argument that the authors' code does not support, or weights that do not fit the arguments; the
            sentence lists the names.
    """
    if family not in FAMILIES:
        raise InputError(f"family '{family}': expected one of {', '.join(FAMILIES)}")
    model, merge_kind = _build(family, config, state_dict)
    ours: dict[str, Tensor] = {}
    unused: dict[str, Tensor] = {}
    wanted = model.state_dict()
    levels = {str(level): str(i) for i, level in enumerate(model.merge.levels)}
    for name, tensor in state_dict.items():
        renamed = our_name(name, len(model.branches), merge_kind)
        renamed = re.sub(r"<(\d+)>", lambda m: levels.get(m[1], m[0]), renamed)
        renamed = renamed.replace("sums.-1.", f"sums.{len(levels)}.")
        if renamed.endswith(".pos_embed") and math.isqrt(tensor.shape[1]) ** 2 != tensor.shape[1]:
            unused[name + "[:, :1]"], tensor = tensor[:, :1], tensor[:, 1:]  # the class slot, not used by the authors
        if renamed in wanted:
            ours[renamed] = tensor
        else:
            unused[name] = tensor
    _check(wanted, ours, unused, merge_kind)
    model.load_state_dict(ours, assign=False)
    model.unused = unused
    return model


# What the released state dicts hold and the authors' forward pass does not read.
_UNREAD = re.compile(
    r".*\[:, :1\]|fpn1\..*|branch\d\.(convnext_model\.layernorm\.(weight|bias)|cls_token|(norm|head)\.(weight|bias))"
)


def _check(wanted: Mapping[str, Tensor], ours: Mapping[str, Tensor], unused: Mapping[str, Tensor], merge: str) -> None:
    problems = [f"{name} is missing" for name in wanted if name not in ours]
    problems += [f"{name} is unknown" for name in unused if not _UNREAD.fullmatch(name)]
    problems += [
        f"{name} has shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
        for name, tensor in ours.items()
        if tensor.shape != wanted[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise InputError(f"the weights do not fit the arguments: {'; '.join(problems[:8])}{more}")


def _build(family: str, config: Config, state: Mapping[str, Tensor]) -> tuple[Pyramid, str]:
    sections = [config[f"branch{i}"] for i in range(1, 5) if f"branch{i}" in config][::-1]
    if not 2 <= len(sections) <= 4:
        raise InputError(f"the config has {len(sections)} branches (branch1, branch2, ...): expected two to four")
    number = len(sections)
    sizes = [_size(family, section) for section in sections]
    branches = [_branch(family, section, state, f"branch{number - j}.", sizes[j]) for j, section in enumerate(sections)]
    positions = [[int(last) for _, last in section["interaction_indexes"]] for section in sections]
    options = _interaction(config, len(positions[0]))
    widths = [[b.spec.width(p[k]) for b, p in zip(branches, positions, strict=True)] for k in range(options.count)]
    pairs = [pair for high in range(number - 1) for pair in ((high + 1, high), (high, high + 1))]
    exchanges = [Exchange(w, pairs, options) for w in widths]
    merge, head, kind = _output(family, config, widths, branches[0])
    # The segmentation code's class of three branches takes images of the second branch's size.
    given = sizes[1] if family == "segmentation" and number == 3 else None
    return Pyramid(branches, sizes, positions, exchanges, merge, head, given), kind


def _size(family: str, section: Config) -> int:
    for key in ("img_size", "real_size") if family == "classification" else ("real_size", "img_size"):
        if key in section:
            return int(section[key])
    raise InputError(f"a branch lacks its size: expected {'img_size' if family == 'classification' else 'real_size'}")


def _interaction(config: Config, count: int) -> Interaction:
    if not config.get("with_cffn", False):
        raise InputError("with_cffn=False is broken in the authors' code: only with_cffn=True can be loaded")
    deformable = config.get("interact_attn_type", "normal") == "deform"
    return Interaction(
        count=count,
        attention="deformable" if deformable else "regular",
        heads=int(config.get("deform_num_heads", 6)),
        points=int(config.get("n_points", 4)),
        ratio=float(config.get("deform_ratio", 1.0)),
        ffn=float(config.get("cffn_ratio", 0.25)),
        project=bool(config.get("interaction_proj", True)),
    )


def _branch(family: str, section: Config, state: Mapping[str, Tensor], prefix: str, size: int) -> BranchModule:
    path = str(section.get("pretrained") or "")
    if family != "classification" and "convnext" in path:
        return ConvNeXtBranch(_convnext_spec(section, path))
    for unsupported in ("beit", "perceiver") if family != "classification" else ():
        if unsupported in path:
            raise InputError(f"'{path}': loading {unsupported} branches from the authors' checkpoints is not supported")
    deit = "deit" in path if family != "classification" else section.get("model_type", "deit") == "deit"
    spec = _deit_spec(section) if deit else _intern_spec(family, section)
    position = state.get(prefix + "pos_embed")
    entries = position.shape[1] if position is not None else (size // spec.patch) ** 2
    class_token = family == "classification" and bool(section.get("use_cls_token", True))
    return VisionTransformer(spec, math.isqrt(entries), _windows(section, spec.depth), class_token)


def _deit_spec(section: Config) -> catalog.ViT:
    return catalog.ViT(
        depth=int(section.get("depth", 12)),
        dim=int(section.get("embed_dim", 768)),
        heads=int(section.get("num_heads", 12)),
        patch=int(section.get("patch_size", 16)),
        mlp_ratio=int(section.get("mlp_ratio", 4)),
        qkv_bias=bool(section.get("qkv_bias", False)),
    )


def _intern_spec(family: str, section: Config) -> catalog.ViT:
    classification = family == "classification"
    norm = str(section.get("norm_layer_type", "ln" if classification else "RMSNorm"))
    return catalog.ViT(
        depth=int(section.get("depth", 48)),
        dim=int(section.get("embed_dim", 3200)),
        heads=int(section.get("num_heads", 25)),
        patch=int(section.get("patch_size", 16 if classification else 14)),
        mlp_ratio=int(section.get("mlp_ratio", 4)),
        qkv_bias=bool(section.get("qkv_bias", False)),
        norm="rms" if norm == "RMSNorm" else "layer",
        qk_norm=bool(section.get("qk_normalization", not classification)),
        layer_scale=section.get("init_values", None if classification else 0.1) is not None,
    )


def _convnext_spec(section: Config, path: str) -> catalog.ConvNeXt:
    if sizes := section.get("convnext"):
        return catalog.ConvNeXt(tuple(sizes["depths"]), tuple(sizes["hidden_sizes"]))
    for name in ("tiny", "small", "base", "large"):
        if name in path:
            spec = catalog.model(f"convnext_{name}")
            assert isinstance(spec, catalog.ConvNeXt)
            return spec
    raise InputError(f"'{path}': expected a ConvNeXt of size tiny, small, base or large")


def _windows(section: Config, depth: int) -> list[int | None]:
    used, sides = section.get("window_attn") or False, section.get("window_size") or 14
    used = [used] * depth if isinstance(used, bool) else used
    sides = [sides] * depth if isinstance(sides, int) else sides
    return [int(side) if use else None for use, side in zip(used, sides, strict=True)]


def _output(
    family: str, config: Config, widths: list[list[int]], largest: BranchModule
) -> tuple[MapMerge | NoMerge, nn.Module | None, str]:
    everyone = range(len(widths[0]))
    target, reference = len(widths[0]) - 1, 0
    if family == "classification":
        if config.get("separate_head", False):
            # The authors' separate heads have 1000 outputs whatever `num_classes` says.
            return NoMerge(everyone), SeparateHeads(widths[-1], 1000), "separate-heads"
        merge = MapMerge([WeightedSum("linear", widths[-1], everyone, target, reference)])
        head = PooledHead(widths[-1][target], int(config.get("num_classes", 1000)))
        return merge, head if config.get("use_cls_head", True) else None, "linear"
    # Without the simple pyramid the authors' code merges after chosen exchanges too, with fewer layers.
    simple = bool(config.get("with_simple_fpn", True))
    kind = "conv" if simple else "conv-multilevel"
    levels = [] if simple else sorted(int(level) for level in config.get("out_interaction_indexes") or ())
    if not simple and len(levels) != 3:
        raise InputError(
            f"with_simple_fpn=False merges after three exchanges: out_interaction_indexes={levels} has not"
        )
    sums = [WeightedSum(kind, widths[k], everyone, target, reference) for k in (*levels, -1)]
    return MapMerge(sums, levels, _pyramid(config, [merge.dim for merge in sums], largest)), None, kind


def _pyramid(config: Config, dims: list[int], largest: BranchModule) -> nn.Module | None:
    if isinstance(largest, ConvNeXtBranch):
        if len(dims) == 1:
            raise InputError("a ConvNeXt as the last branch needs with_simple_fpn=False and out_interaction_indexes")
        return None
    if not config.get("is_dino", False):
        return SimplePyramid(dims if len(dims) > 1 else dims * 4)
    if len(dims) > 1:
        raise InputError("is_dino=True reads the final map alone: it does not go with with_simple_fpn=False")
    return DinoPyramid(dims[0])
