"""State-dict names: the authors' on one side, ours on the other, as one-to-one renaming both ways.

The authors number branches from the lowest resolution (`branch1`); our index j counts from the highest, so that branch
I of n is index n - I. `interaction_units_IJ` joins branches I and J = I + 1, and inside a unit `branch1` is I.
"""

from __future__ import annotations

import re

_CONVNEXT = [
    (r"convnext_model\.embeddings\.patch_embeddings\.", "stem.0."),
    (r"convnext_model\.embeddings\.layernorm\.", "stem.1."),
    (r"convnext_model\.encoder\.stages\.(\d+)\.downsampling_layer\.", r"stages.\1.downsample."),
    (r"convnext_model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.dwconv\.", r"stages.\1.blocks.\2.conv_dw."),
    (r"convnext_model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.layernorm\.", r"stages.\1.blocks.\2.norm."),
    (r"convnext_model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.pwconv(\d)\.", r"stages.\1.blocks.\2.mlp.fc\3."),
    (r"convnext_model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.layer_scale_parameter$", r"stages.\1.blocks.\2.gamma"),
]
_VIT = [(r"(blocks\.\d+)\.gamma_(\d)$", r"\1.ls\2.gamma")]

_LINEAR_MERGE = {"0": "0", "2": "1", "4": "2"}
"""Positions of the layers of a linear merge: theirs (with two permutations between) to ours."""


def our_name(name: str, branches: int, merge: str) -> str:
    """Return our name of the authors' tensor `name` in a model of `branches` branches.

    `merge` is the kind of merge that the model has (`linear`, `conv`, `conv-multilevel` or `separate-heads`). A name
    that belongs to nothing of ours comes back as it is.
    """
    if match := re.fullmatch(r"branch(\d)\.(.+)", name):
        return _branch_name(branches - int(match[1]), match[2], merge)
    if match := re.fullmatch(r"interactions\.(\d+)\.interaction_units_(\d)(\d)\.(.+)", name):
        exchange, low, high = match[1], branches - int(match[2]), branches - int(match[3])
        return f"interactions.{exchange}.directions.{_direction_name(low, high, match[4])}"
    if match := re.fullmatch(r"intermediate_merging_(\d+)_branch(\d)\.(.+)", name):
        return f"merge.sums.<{match[1]}>.adapters.{branches - int(match[2])}.{match[3]}"
    if match := re.fullmatch(r"intermediate_merging_(\d+)_w(\d)", name):
        return f"merge.sums.<{match[1]}>.scales.{branches - int(match[2])}"
    if match := re.fullmatch(r"merge_branch(\d)\.(.+)", name):
        return f"merge.sums.-1.adapters.{branches - int(match[1])}.{_adapter_layer(match[2], merge)}"
    if match := re.fullmatch(r"w(\d)", name):
        return f"merge.sums.-1.scales.{branches - int(match[1])}"
    if match := re.fullmatch(r"fpn(\d)\.(.+)", name):
        return f"merge.pyramid.fpn{match[1]}.{match[2]}"
    return re.sub(r"^cls_norm\.", "head.norm.", re.sub(r"^cls_head\.", "head.fc.", name))


def _branch_name(index: int, name: str, merge: str) -> str:
    if merge == "separate-heads" and (match := re.fullmatch(r"(norm|head)\.(weight|bias)", name)):
        return f"head.{match[1]}s.{index}.{match[2]}"
    for pattern, replacement in _CONVNEXT + _VIT:
        name = re.sub("^" + pattern, replacement, name)
    return f"branches.{index}.{name}"


def _direction_name(low: int, high: int, name: str) -> str:
    source, kind, rest = re.fullmatch(r"branch([12])to[12]_(proj|injector)\.(.+)", name).groups()  # type: ignore[union-attr]
    direction = f"{low}_{high}" if source == "1" else f"{high}_{low}"
    rest = rest.replace("ffn.dwconv.dwconv.", "ffn.dwconv.")
    return f"{direction}.proj.{rest}" if kind == "proj" else f"{direction}.{rest}"


def _adapter_layer(name: str, merge: str) -> str:
    layer, _, rest = name.partition(".")
    if merge != "linear":
        return name
    return f"{_LINEAR_MERGE[layer]}.{rest}" if rest else f"0.{layer}"
