"""What the authors' code builds from its constructor arguments: read once, with defaults filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from piip_explore import catalog
from piip_explore.design import Attention, Interaction, MergeKind
from piip_explore.errors import InputError
from piip_explore.official.arguments import (
    BACKBONE_DEFAULTS,
    CLASS_NAMES,
    SINGLE_CLASSES,
    Arguments,
    BranchClass,
    CodeBase,
    branch_class,
    choice,
    complete,
    number,
    positive,
    pretrained_path,
    shown,
)


@dataclass(frozen=True)
class OfficialBranch:
    """One branch as the authors' code builds it.

    `windows` are those of every block, None where attention is global; `ends` the blocks that interactions follow;
    `arguments` all arguments with the defaults of its class.
    """

    branch_class: BranchClass
    spec: catalog.Model
    size: int
    windows: tuple[int | None, ...]
    ends: tuple[int, ...]
    class_token: bool
    arguments: Arguments = field(repr=False)


@dataclass(frozen=True)
class OfficialNetwork:
    """A backbone as the authors' code builds it.

    `branches` begin with the authors' branch 1, the lowest-resolution one. `levels` are the interactions after which
    maps are merged, in addition to the final ones. `classes` is the size of the classifier, None where there is none.
    `arguments` are the constructor arguments as they stand.
    """

    code_base: CodeBase
    branches: tuple[OfficialBranch, ...]
    interaction: Interaction | None
    merge: MergeKind
    levels: tuple[int, ...]
    dino: bool
    classes: int | None
    arguments: Arguments = field(repr=False)


def read_network(
    arguments: Arguments, code_base: CodeBase | None = None, resolution: int | None = None
) -> OfficialNetwork:
    """Read the authors' constructor arguments.

    Args:
        arguments: those of `PIIPTwoBranch`, `PIIPThreeBranch`, `PIIPFourBranch` or of a single branch class.
        code_base: whose classes and defaults apply; None to tell by the arguments.
        resolution: image size (pixels) of a single branch whose arguments do not say it.

    Raises:
        InputError: arguments that the authors' code does not take; the sentence names the argument.
    """
    sections = _sections(arguments)
    base = code_base or _code_base(arguments, sections)
    if not sections:
        return _single(arguments, base, resolution)
    branches = tuple(_branch(section, base, f"branch{i}") for i, section in enumerate(sections, start=1))
    given = {**BACKBONE_DEFAULTS, **arguments}
    interaction = _interaction(given, branches)
    merge, levels = _merge(given, base, branches, interaction.count)
    classes = None
    if base == "classification":
        # The authors' separate heads have 1000 outputs whatever `num_classes` says.
        merged = positive(given, "num_classes") if given["use_cls_head"] else None
        classes = 1000 if merge == "separate-heads" else merged
    dino = base == "detection" and bool(given["is_dino"])
    if dino and levels:
        raise InputError("is_dino=True reads only the final map: it cannot be combined with with_simple_fpn=False")
    return OfficialNetwork(base, branches, interaction, merge, levels, dino, classes, dict(arguments))


def _sections(arguments: Arguments) -> list[Arguments]:
    numbers = sorted(int(match[1]) for key in arguments if (match := re.fullmatch(r"branch([1-9]\d*)", str(key))))
    if numbers != list(range(1, len(numbers) + 1)):
        raise InputError(f"the backbone has branches {shown(numbers)}: expected branch1, branch2, ... without a gap")
    sections = [arguments[f"branch{number}"] for number in numbers]
    for i, section in enumerate(sections, start=1):
        if not isinstance(section, Mapping):
            raise InputError(f"branch{i} = {shown(section)}: expected dict(...)")
    kind = arguments.get("type")
    if sections and (len(sections) not in CLASS_NAMES or kind not in (None, CLASS_NAMES[len(sections)])):
        raise InputError(f"type={shown(kind)} does not go with {len(sections)} branches")
    if not sections and kind not in SINGLE_CLASSES and not (kind is None and "embed_dim" in arguments):
        expected = ", ".join([*CLASS_NAMES.values(), *SINGLE_CLASSES])
        raise InputError(f"backbone type={shown(kind)} is not PIIP's: expected one of {expected}")
    return sections


def _code_base(arguments: Arguments, sections: list[Arguments]) -> CodeBase:
    keys = set(arguments).union(*sections)
    if "model_cls" in keys or any(section.get("model_type") in list(_CLIP_FAMILIES) for section in sections):
        return "llava"
    if {"model_type", "separate_head"} & keys or not (sections or "type" in keys):
        return "classification"
    return "segmentation" if any("img_size" in section for section in sections or [arguments]) else "detection"


def _single(arguments: Arguments, code_base: CodeBase, resolution: int | None) -> OfficialNetwork:
    size = arguments.get("real_size", arguments.get("img_size", resolution))
    if size is None:
        raise InputError("one branch alone, and no image size: expected img_size, or a train_pipeline with Resize")
    # A classification config has no type; the names of its arguments tell the class.
    intern = {"norm_layer_type", "qk_normalization", "init_values"} & arguments.keys()
    kind = str(arguments.get("type") or ("InternViT6B" if intern else "vit_models"))
    branch = _branch({**arguments, "type": kind, "real_size": size, "img_size": size}, code_base, kind)
    classes = 1000 if code_base == "classification" else None
    return OfficialNetwork(code_base, (branch,), None, "none", (), False, classes, dict(arguments))


def _branch(section: Arguments, code_base: CodeBase, owner: str) -> OfficialBranch:
    try:
        kind = branch_class(section, code_base)
        given = complete(section, kind, code_base)
        size = positive(given, _size_key(given, code_base))
        spec = _spec(given, kind)
        ends = _ends(given, spec) if owner.startswith("branch") else (spec.blocks - 1,)
        windows = _windows(given, spec.depth) if isinstance(spec, catalog.ViT) else ()
    except InputError as error:
        raise InputError(f"{owner}: {error}") from None
    class_token = code_base == "classification" and bool(given.get("use_cls_token"))
    class_token |= isinstance(spec, catalog.ViT) and spec.class_token
    return OfficialBranch(kind, spec, size, windows, ends, class_token, given)


def _size_key(section: Arguments, code_base: CodeBase) -> str:
    own, other = ("real_size", "img_size") if code_base in ("detection", "segmentation") else ("img_size", "real_size")
    return own if own in section or other not in section else other


def _spec(section: Arguments, kind: BranchClass) -> catalog.Model:
    if kind == "CLIP":
        return _named(pretrained_path(section), *choice(section, "model_type", _CLIP_FAMILIES))
    if kind == "ConvNextHFWrapper":
        return _convnext(section)
    return _vit(section, kind)


_NORMS: dict[str, Literal["rms", "layer"]] = {"RMSNorm": "rms", "LayerNorm": "layer", "ln": "layer"}


def _vit(section: Arguments, kind: BranchClass) -> catalog.ViT:
    depth, dim, heads, patch, ratio = (
        positive(section, key) for key in ("depth", "embed_dim", "num_heads", "patch_size", "mlp_ratio")
    )
    spec = catalog.ViT(depth, dim, heads, patch, mlp_ratio=ratio, qkv_bias=bool(section.get("qkv_bias", True)))
    if kind in ("vit_models", "UnifiedBertEncoder"):
        return spec
    spec = replace(spec, layer_scale=section["init_values"] is not None)
    if kind == "BEiT":
        return replace(spec, position="relative")
    norm = choice(section, "norm_layer_type", _NORMS)
    return replace(spec, norm=norm, qk_norm=bool(section["qk_normalization"]))


def _convnext(section: Arguments) -> catalog.Model:
    sizes = section.get("convnext")
    if isinstance(sizes, Mapping):
        depths, dims = (_dashed(sizes.get(key)) for key in ("depths", "hidden_sizes"))
        spec = catalog.model(f"convnext[depths={depths},dims={dims}]")
    else:
        spec = _named(pretrained_path(section), "convnext", ("tiny", "small", "base", "large"))
    ratios, expected = section.get("downsample_ratios"), [spec.stride(block) for block in range(spec.blocks)]
    if ratios is not None and ratios != expected:
        raise InputError(f"downsample_ratios={shown(ratios)} do not fit a ConvNeXt of {spec.blocks} blocks")
    return spec


def _dashed(values: Any) -> str:
    return "-".join(map(str, values)) if isinstance(values, list | tuple) else shown(values)


_CLIP_FAMILIES = {"clip_hf": ("clip", ("base", "large")), "convnext_timm": ("convnext", ("base", "large"))}


def _named(path: str, family: str, sizes: tuple[str, ...]) -> catalog.Model:
    for size in sizes:
        if size in path and family in path:
            return catalog.model(f"{family}_{size}")
    raise InputError(f"pretrained={shown(path)} names no {family} of size {', '.join(sizes)}")


def _ends(section: Arguments, spec: catalog.Model) -> tuple[int, ...]:
    """Return the last block of every range of `interaction_indexes`, which must follow one another to the last."""
    ranges = section.get("interaction_indexes")
    pairs = ranges if isinstance(ranges, list | tuple) and ranges else []
    start, ends = 0, []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or pair[0] != start or not isinstance(pair[1], int):
            break
        ends.append(pair[1])
        start = pair[1] + 1
    if not ends or len(ends) != len(pairs) or ends != sorted(set(ends)):
        raise InputError(
            f"interaction_indexes={shown(ranges)}, expected inclusive block ranges [[0, a], [a + 1, b], ...]"
        )
    if ends[-1] != spec.blocks - 1:
        raise InputError(f"interaction_indexes end with block {ends[-1]}, expected the last of {spec.blocks} (from 0)")
    return tuple(ends)


def _windows(section: Arguments, depth: int) -> tuple[int | None, ...]:
    used, sides = section.get("window_attn") or False, section.get("window_size")
    used = [used] * depth if isinstance(used, bool) else used
    sides = [14 if sides is None else sides] * depth if isinstance(sides, int) or sides is None else sides
    if not isinstance(used, list | tuple) or not isinstance(sides, list | tuple) or {len(used), len(sides)} != {depth}:
        raise InputError(f"window_attn and window_size need one entry for each of {depth} blocks")
    windows = tuple(side if use else None for use, side in zip(used, sides, strict=True))
    if not all(window is None or (isinstance(window, int) and window > 0) for window in windows):
        raise InputError(f"window_size={shown(sides)}, expected positive whole numbers where window_attn is True")
    return windows


_ATTENTION: dict[str, Attention] = {"deform": "deformable", "normal": "regular"}


def _interaction(given: Arguments, branches: tuple[OfficialBranch, ...]) -> Interaction:
    attention = choice(given, "interact_attn_type", _ATTENTION)
    if not given["with_cffn"]:
        raise InputError("with_cffn=False is broken in the authors' code, and is its default: expected with_cffn=True")
    project, norm = bool(given["interaction_proj"]), given.get("norm_layer")
    if project == (norm == "none"):
        raise InputError(f"interaction_proj={project} with norm_layer={shown(norm)}: a design drops both or none")
    counts = {len(branch.ends) for branch in branches}
    if len(counts) > 1:
        raise InputError(f"interaction_indexes: {shown(sorted(counts))} ranges, expected one number for all branches")
    return Interaction(
        count=counts.pop(),
        attention=attention,
        heads=positive(given, "deform_num_heads"),
        points=positive(given, "n_points"),
        ratio=number(given, "deform_ratio"),
        ffn=number(given, "cffn_ratio"),
        project=project,
    )


def _merge(
    given: Arguments, code_base: CodeBase, branches: tuple[OfficialBranch, ...], count: int
) -> tuple[MergeKind, tuple[int, ...]]:
    if code_base == "classification":
        return ("separate-heads" if given["separate_head"] else "linear"), ()
    if code_base == "llava":
        if given.get("use_branch_merging", False):
            raise InputError("use_branch_merging=True: a LLaVA design has no merging in the encoder")
        return "none", ()
    if given["with_simple_fpn"]:
        if isinstance(branches[-1].spec, catalog.ConvNeXt):
            raise InputError("with_simple_fpn=True: the authors' code cannot merge so with a ConvNeXt as last branch")
        return "conv", ()
    levels: Any = given["out_interaction_indexes"]
    whole = isinstance(levels, list | tuple) and all(isinstance(k, int) and 0 <= k < count - 1 for k in levels)
    if not whole or len(set(levels)) != 3:
        raise InputError(
            f"out_interaction_indexes={shown(levels)}: with_simple_fpn=False merges after three of the first "
            f"{count - 1} interactions"
        )
    return "conv-multilevel", tuple(sorted(levels))
