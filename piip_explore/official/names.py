"""State-dict names: the authors' on one side, ours on the other, as one-to-one renaming both ways.

The authors number branches from the lowest resolution (`branch1`); our index j counts from the highest, so that branch
I of n is index n - I. `interaction_units_IJ` joins branches I and J = I + 1, and inside a unit `branch1` is I.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import count

_CONVNEXT = [
    ("embeddings.patch_embeddings.", "stem.0."),
    ("embeddings.layernorm.", "stem.1."),
    ("encoder.stages.#.downsampling_layer.", "stages.#.downsample."),
    ("encoder.stages.#.layers.#.dwconv.", "stages.#.blocks.#.conv_dw."),
    ("encoder.stages.#.layers.#.layernorm.", "stages.#.blocks.#.norm."),
    ("encoder.stages.#.layers.#.pwconv#.", "stages.#.blocks.#.mlp.fc#."),
    ("encoder.stages.#.layers.#.layer_scale_parameter", "stages.#.blocks.#.gamma"),
]
"""A ConvNeXt's tensors by Hugging Face's names, which the authors' wrapper has too, and by ours (timm's).

Names end before the parameter's own; # stands for a number, the same in both.
"""


def _rule(source: str, target: str) -> tuple[str, str]:
    """Return the regular expression of the source's names, and their replacement."""
    places = count(1)
    return re.escape(source).replace(r"\#", r"(\d+)"), re.sub("#", lambda _: rf"\{next(places)}", target)


CONVNEXT_TO_OURS = [_rule(theirs, ours) for theirs, ours in _CONVNEXT]
"""Patterns of Hugging Face's names, matched at their beginning, and their replacements."""

CONVNEXT_FROM_OURS = [_rule(ours, theirs) for theirs, ours in _CONVNEXT]
"""The same the other way."""

_WRAPPED = "convnext_model."
"""What the authors' ConvNeXt wrapper puts before Hugging Face's names."""

_VIT = [(r"(blocks\.\d+)\.gamma_(\d)$", r"\1.ls\2.gamma")]

_LINEAR_MERGE = {"0": "0", "2": "1", "4": "2"}
"""Positions of the layers of a linear merge: theirs (with two permutations between) to ours."""


def our_name(name: str, branches: int, merge: str, levels: Sequence[int] = ()) -> str:
    """Return our name of the authors' tensor `name`; a name that belongs to nothing of ours comes back as it is.

    Args:
        name: a name of the authors' state dict.
        branches: how many branches the model has.
        merge: the kind of merge (`linear`, `conv`, `conv-multilevel` or `separate-heads`).
        levels: the interactions after which `conv-multilevel` merges too.
    """
    if match := re.fullmatch(r"branch(\d)\.(.+)", name):
        return _branch_name(branches - int(match[1]), match[2], merge)
    if match := re.fullmatch(r"interactions\.(\d+)\.interaction_units_(\d)(\d)\.(.+)", name):
        low, high = branches - int(match[2]), branches - int(match[3])
        return f"interactions.{match[1]}.directions.{_direction_name(low, high, match[4])}"
    if (match := re.fullmatch(r"intermediate_merging_(\d+)_(.+)", name)) and int(match[1]) in levels:
        number, name = levels.index(int(match[1])), match[2]
    else:
        number = len(levels)
    if match := re.fullmatch(r"(?:merge_)?branch(\d)\.(.+)", name):
        return f"merge.sums.{number}.adapters.{branches - int(match[1])}.{_adapter_layer(match[2], merge)}"
    if match := re.fullmatch(r"w(\d)", name):
        return f"merge.sums.{number}.scales.{branches - int(match[1])}"
    if match := re.fullmatch(r"fpn(\d)\.(.+)", name):
        return f"merge.pyramid.fpn{match[1]}.{match[2]}"
    return re.sub(r"^cls_norm\.", "head.norm.", re.sub(r"^cls_head\.", "head.fc.", name))


def _branch_name(index: int, name: str, merge: str) -> str:
    if merge == "separate-heads" and (match := re.fullmatch(r"(norm|head)\.(weight|bias)", name)):
        return f"head.{match[1]}s.{index}.{match[2]}"
    rules = [(re.escape(_WRAPPED) + pattern, replacement) for pattern, replacement in CONVNEXT_TO_OURS]
    for pattern, replacement in (*rules, *_VIT):
        name = re.sub("^" + pattern, replacement, name)
    return f"branches.{index}.{name}"


def _direction_name(low: int, high: int, name: str) -> str:
    match = re.fullmatch(r"branch([12])to[12]_(proj|injector)\.(.+)", name)
    assert match is not None
    source, kind, rest = match.groups()
    direction = f"{low}_{high}" if source == "1" else f"{high}_{low}"
    rest = rest.replace("ffn.dwconv.dwconv.", "ffn.dwconv.")
    return f"{direction}.proj.{rest}" if kind == "proj" else f"{direction}.{rest}"


def _adapter_layer(name: str, merge: str) -> str:
    layer, _, rest = name.partition(".")
    if merge != "linear":
        return name
    return f"{_LINEAR_MERGE[layer]}.{rest}" if rest else f"0.{layer}"


def official_name(
    name: str, branches: int, merge: str, levels: Sequence[int] = (), gamma_branches: Collection[int] = ()
) -> str:
    """Return the authors' name of our tensor `name`: the inverse of `our_name`.

    Args:
        name: a name of our state dict, branches in order from the highest resolution.
        branches: how many there are.
        merge: the kind of merge.
        levels: the interactions after which `conv-multilevel` merges too.
        gamma_branches: our indices of the branches whose class calls its LayerScales `gamma_1` and `gamma_2`.
    """
    if match := re.fullmatch(r"branches\.(\d+)\.(.+)", name):
        index = int(match[1])
        rest = _inverse_branch_name(match[2], index in gamma_branches)
        return f"branch{branches - index}.{rest}"
    if match := re.fullmatch(r"head\.(norm|head)s\.(\d+)\.(.+)", name):
        return f"branch{branches - int(match[2])}.{match[1]}.{match[3]}"
    if match := re.fullmatch(r"interactions\.(\d+)\.directions\.(\d+)_(\d+)\.(.+)", name):
        source, query = branches - int(match[2]), branches - int(match[3])
        unit = f"interactions.{match[1]}.interaction_units_{min(source, query)}{max(source, query)}"
        way = "branch1to2" if source < query else "branch2to1"
        rest = match[4].replace("ffn.dwconv.", "ffn.dwconv.dwconv.")
        return f"{unit}.{way}_{rest}" if rest.startswith("proj.") else f"{unit}.{way}_injector.{rest}"
    if match := re.fullmatch(r"merge\.sums\.(\d+)\.(adapters|scales)\.(\d+)(?:\.(.+))?", name):
        return _merge_name(int(match[1]), branches - int(match[3]), match[4], merge, levels)
    name = re.sub(r"^merge\.pyramid\.", "", name)
    return re.sub(r"^head\.norm\.", "cls_norm.", re.sub(r"^head\.fc\.", "cls_head.", name))


def _inverse_branch_name(name: str, gamma: bool) -> str:
    if gamma and (match := re.fullmatch(r"(blocks\.\d+)\.ls(\d)\.gamma", name)):
        return f"{match[1]}.gamma_{match[2]}"
    for pattern, replacement in CONVNEXT_FROM_OURS:
        name = re.sub("^" + pattern, _WRAPPED + replacement, name)
    return name


def _merge_name(number: int, branch: int, layer: str | None, merge: str, levels: Sequence[int]) -> str:
    """Return the name of a scale (`layer` None) or of an adapter's layer in merge `number`, the final one the last."""
    level = f"intermediate_merging_{levels[number]}_" if number < len(levels) else ""
    if layer is None:
        return f"{level}w{branch}"
    adapter = f"{level}branch{branch}" if level else f"merge_branch{branch}"
    if merge != "linear":
        return f"{adapter}.{layer}"
    position, _, rest = layer.partition(".")
    theirs = {ours: position for position, ours in _LINEAR_MERGE.items()}[position]
    return f"{adapter}.{rest}" if branch == 1 else f"{adapter}.{theirs}.{rest}"
