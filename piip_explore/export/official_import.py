"""The authors' config files and constructor arguments as designs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from piip_explore import catalog
from piip_explore.design import Branch, Design, Interaction, Merge
from piip_explore.errors import InputError
from piip_explore.export.backbone import CLASS_NAMES
from piip_explore.export.config_reader import read_config, shown
from piip_explore.export.official_branch import import_branch, positive

CODE_BASES = ("detection", "segmentation", "classification", "llava")
SINGLE_CLASSES = ("vit_models", "InternViT6B", "BEiT", "UnifiedBertEncoder", "ConvNextHFWrapper")


@dataclass(frozen=True)
class Imported:
    """A config as a design: `backbone` are its arguments as they stand, all kept for exporting it again.

    `notes` say where the authors' network differs from the design's in what a design does not express.
    """

    design: Design
    code_base: str
    backbone: Mapping[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()


def import_config(path: Path) -> Imported:
    """Read a config file of the authors' detection, segmentation, classification or LLaVA code.

    Raises:
        InputError: not a plain config, no PIIP backbone in it, or one that no design expresses; the sentence names
            the file and the argument.
    """
    config = read_config(path)
    model = config.get("model")
    backbone = model.get("backbone") if isinstance(model, dict) else None
    if not isinstance(backbone, dict):
        missing = config["_missing_base_"]
        why = f" (its base '{missing[0]}' was not found beside it)" if missing else ""
        raise InputError(f"'{path}' has no model=dict(backbone=dict(...)){why}")
    try:
        return import_backbone(backbone, resolution=_image_size(config))
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None


def import_backbone(
    arguments: Mapping[str, Any], code_base: str | None = None, resolution: int | None = None
) -> Imported:
    """Read the authors' constructor arguments.

    Args:
        arguments: those of `PIIPTwoBranch`, `PIIPThreeBranch`, `PIIPFourBranch` or of a single branch class.
        code_base: `detection`, `segmentation`, `classification` or `llava`; None finds out by the arguments.
        resolution: image size (pixels) of a single branch whose arguments do not say it.

    Raises:
        InputError: arguments that no design expresses; the sentence names the argument.
    """
    sections = _sections(arguments)
    base = code_base or _code_base(arguments, sections)
    if not sections:
        return _import_single(arguments, base, resolution)
    notes: list[str] = []
    branches = [import_branch(section, base, f"branch{i}", notes) for i, section in enumerate(sections, start=1)]
    interaction = _interaction(arguments, sections, branches)
    design = Design(tuple(reversed(branches)), interaction, _merge(arguments, base, branches, interaction, notes))
    if [design.branches[i] for i in reversed(design.order)] != branches:
        raise InputError(
            "branch1 is not the lowest-resolution branch, or the branches do not rise in resolution from it; a design "
            f"runs its exchanges from the highest resolution down: expected '{design.sorted()}' from the last branch on"
        )
    return Imported(design, base, dict(arguments), tuple(notes))


def _sections(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    numbers = sorted(int(key[6:]) for key in arguments if key.startswith("branch") and key[6:].isdecimal())
    if numbers != list(range(1, len(numbers) + 1)):
        raise InputError(f"the backbone has branches {shown(numbers)}: expected branch1, branch2, ... without a gap")
    sections = [arguments[f"branch{number}"] for number in numbers]
    for number, section in zip(numbers, sections, strict=True):
        if not isinstance(section, Mapping):
            raise InputError(f"branch{number} = {shown(section)}: expected dict(...)")
    kind = arguments.get("type")
    if numbers and kind is not None and kind != CLASS_NAMES.get(len(numbers)):
        raise InputError(f"type={shown(kind)} does not go with {len(numbers)} branches")
    if not numbers and kind not in SINGLE_CLASSES and not (kind is None and "embed_dim" in arguments):
        expected = ", ".join([*CLASS_NAMES.values(), *SINGLE_CLASSES])
        raise InputError(f"backbone type={shown(kind)} is not PIIP's: expected one of {expected}")
    return sections


def _code_base(arguments: Mapping[str, Any], sections: list[Mapping[str, Any]]) -> str:
    keys = set(sections[0] if sections else arguments).union(*sections)
    if not sections and "type" not in arguments:
        return "classification"
    if "model_cls" in arguments or any(_is_clip(section) for section in sections):
        return "llava"
    if "model_type" in keys or "separate_head" in arguments:
        return "classification"
    return "segmentation" if "img_size" in keys else "detection"


def _is_clip(section: Mapping[str, Any]) -> bool:
    return section.get("model_type") in ("clip_hf", "convnext_timm")


_SIZE_KEYS = {"Resize": "img_scale", "RandomCrop": "crop_size"}


def _image_size(config: Mapping[str, Any]) -> int | None:
    """Return the larger side that the training images are resized or cropped to, if the config says one."""
    pipeline = config.get("train_pipeline")
    for step in pipeline if isinstance(pipeline, list) else []:
        if isinstance(step, dict) and step.get("type") in _SIZE_KEYS:
            scale = step.get(_SIZE_KEYS[step["type"]])
            sides = [side for side in scale if isinstance(side, int)] if isinstance(scale, tuple | list) else []
            return max(sides, default=None)
    return None


def _interaction(
    arguments: Mapping[str, Any], sections: list[Mapping[str, Any]], branches: list[Branch]
) -> Interaction:
    attention = {"deform": "deformable", "normal": "regular"}
    kind = arguments.get("interact_attn_type", "normal")
    if kind not in attention:
        raise InputError(f"interact_attn_type={shown(kind)}: expected deform or normal")
    if not arguments.get("with_cffn", False):
        raise InputError("with_cffn=False (the default): every design's exchange has a feed-forward network")
    project, norm = arguments.get("interaction_proj", True), arguments.get("norm_layer", "ln")
    if bool(project) == (norm == "none"):
        raise InputError(f"interaction_proj={project} with norm_layer={shown(norm)}: a design drops both or none")
    ends = [_ends(section, f"branch{i}") for i, section in enumerate(sections, start=1)]
    counts = {len(positions) for positions in ends}
    if len(counts) > 1:
        raise InputError(f"interaction_indexes: {shown(sorted(counts))} ranges, expected one number for all branches")
    count = counts.pop()
    for number, (branch, positions) in enumerate(zip(branches, ends, strict=True), start=1):
        expected = catalog.positions(branch.spec, count) if count <= branch.spec.blocks else ()
        if tuple(positions) != expected:
            raise InputError(
                f"branch{number}: interaction_indexes end with blocks {shown(positions)}, expected "
                f"{shown(list(expected))} for {count} exchanges of {branch.model}"
            )
    return Interaction(
        count=count,
        attention=attention[kind],  # type: ignore[arg-type]
        heads=positive("backbone", arguments, "deform_num_heads", 6),
        points=positive("backbone", arguments, "n_points", 4),
        ratio=_ratio(arguments, "deform_ratio", 1.0),
        ffn=_ratio(arguments, "cffn_ratio", 0.25),
        project=bool(project),
    )


def _ratio(arguments: Mapping[str, Any], key: str, default: float) -> float:
    value = arguments.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{key}={shown(value)}: expected a number")
    return float(value)


def _ends(section: Mapping[str, Any], owner: str) -> list[int]:
    """Return the last block of every range of `interaction_indexes`, which must follow one another."""
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
            f"{owner}: interaction_indexes={shown(ranges)}, expected inclusive block ranges [[0, a], [a + 1, b], ...]"
        )
    return ends


def _merge(
    arguments: Mapping[str, Any], base: str, branches: list[Branch], interaction: Interaction, notes: list[str]
) -> Merge:
    if base == "segmentation" and len(branches) == 3:
        notes.append("the authors' network takes images of branch 2's size and enlarges them for branch 3")
    if base == "classification":
        if not arguments.get("use_cls_head", True):
            notes.append("use_cls_head=False: the authors' network ends with the merged map, without a classifier")
        return Merge("separate-heads" if arguments.get("separate_head", False) else "linear")
    if base == "llava":
        if arguments.get("use_branch_merging", False):
            raise InputError("use_branch_merging=True: a LLaVA design has no merging in the encoder")
        return Merge("none")
    if arguments.get("is_dino", False):
        notes.append("is_dino=True: the authors' network leaves out the finest of the design's four levels")
    levels = arguments.get("out_interaction_indexes") or []
    if arguments.get("with_simple_fpn", True):
        if isinstance(branches[-1].spec, catalog.ConvNeXt):
            raise InputError("with_simple_fpn=True: the authors' code cannot merge so with a ConvNeXt as last branch")
        return Merge("conv")
    merge = Merge("conv-multilevel")
    expected = list(merge.levels(interaction))
    if not isinstance(levels, list | tuple) or list(levels) != expected:
        raise InputError(
            f"out_interaction_indexes={shown(levels)}: expected {expected} with {interaction.count} exchanges and "
            "with_simple_fpn=False"
        )
    return merge


def _import_single(arguments: Mapping[str, Any], base: str, resolution: int | None) -> Imported:
    notes: list[str] = []
    size = arguments.get("real_size", arguments.get("img_size", resolution))
    if size is None:
        raise InputError("one branch alone, and no image size: expected img_size, or a train_pipeline with Resize")
    # A classification config has no type; the names of its arguments tell the class.
    intern = {"norm_layer_type", "qk_normalization", "init_values"} & arguments.keys()
    kind = str(arguments.get("type") or ("InternViT6B" if intern else "vit_models"))
    branch = import_branch({**arguments, "type": kind, "real_size": size, "img_size": size}, base, kind, notes)
    if arguments.get("with_fpn"):
        notes.append("with_fpn=True: the pyramid behind the branch belongs to the detector, not to the design")
    return Imported(Design((branch,)), base, dict(arguments), tuple(notes))
