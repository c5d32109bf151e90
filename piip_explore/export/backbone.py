"""The backbone arguments of a design under the authors' names (their classes of two, three and four branches).

Branch 1 is the lowest-resolution branch, the last one the highest-resolution branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piip_explore import catalog
from piip_explore.design import Branch, Design, Interaction
from piip_explore.errors import InputError
from piip_explore.export.pyconfig import Noted
from piip_explore.official.arguments import CLASS_NAMES, BranchClass, CodeBase
from piip_explore.official.pretrained import PretrainedWeights, drop_path

_PLAIN: tuple[BranchClass, ...] = ("vit_models", "InternViT6B")


def branch_classes(code_base: CodeBase, branches: int) -> tuple[BranchClass, ...]:
    """Return the branch classes that the authors' class of that many branches can make."""
    if code_base != "detection" or branches == 2:
        return _PLAIN
    if branches == 4:
        return ("vit_models",)
    return (*_PLAIN, "BEiT", "UnifiedBertEncoder", "ConvNextHFWrapper")


def backbone(design: Design, code_base: CodeBase, chosen: Mapping[str, PretrainedWeights]) -> dict[str, Any]:
    """Return the authors' constructor arguments of a design that they can express.

    `type` names the class, except for classification: that code takes it for a detection config and finds the class by
    the file's name.

    Args:
        design: the architecture.
        code_base: the code base whose argument names and classes apply.
        chosen: pre-trained weights of every model of the design.

    Raises:
        InputError: weights whose branch class the code base does not have.
    """
    known = branch_classes(code_base, len(design.branches))
    for model, weights in chosen.items():
        if weights.branch_class not in known:
            raise InputError(
                f"the {code_base} code has no branch class for '{weights.family}' weights of '{model}' among "
                f"{len(design.branches)} branches: choose others with --pretrain {model}=FAMILY"
            )
    branches = [design.branches[i] for i in reversed(design.order)]
    if design.interaction is None:
        return single(branches[0], code_base, chosen[branches[0].model])
    kind = {} if code_base == "classification" else {"type": CLASS_NAMES[len(branches)]}
    arguments: dict[str, Any] = {**kind, **interaction_arguments(design.interaction)}
    if design.merge.kind == "conv-multilevel":
        arguments |= {
            "with_simple_fpn": False,  # True would leave the merges after interactions out
            "out_interaction_indexes": list(design.merge.levels(design.interaction)),
        }
    if code_base == "classification":
        arguments["separate_head"] = design.merge.kind == "separate-heads"
    for number, branch in enumerate(branches, start=1):
        made = branch_arguments(branch, code_base, chosen[branch.model], {w.family for w in chosen.values()})
        if code_base == "classification":
            made |= _class_token(chosen[branch.model], design.merge.kind == "separate-heads")
        arguments[f"branch{number}"] = made | {
            "interaction_indexes": interaction_indexes(branch.spec, design.interaction.count)
        }
    return arguments


def _class_token(weights: PretrainedWeights, class_token: bool) -> dict[str, Any]:
    """Return whether a classifier's branch has a class token, and say how to strip its file where it has none.

    The classification code loads InternViT6B strictly; without a class token it has neither a norm nor a head.
    """
    if class_token or weights.branch_class != "InternViT6B":
        return {"use_cls_token": class_token}
    strip = (
        "merge=linear has no class token, and this file is loaded strictly: strip it first\n"
        f"""  python -c "import torch; f = '{weights.path}'; c = torch.load(f); s = c.get('model', c); """
        """[s.pop(k) for k in list(s) if k.startswith(('cls_token', 'norm.', 'head.'))]; torch.save(c, f)\""""
    )
    return {"use_cls_token": False, "pretrained": Noted(weights.path, f"{weights.note}\n{strip}")}


def interaction_arguments(interaction: Interaction) -> dict[str, Any]:
    """Return the arguments common to all branches."""
    arguments: dict[str, Any] = {
        "n_points": interaction.points,
        "deform_num_heads": interaction.heads,
        "cffn_ratio": interaction.ffn,
        "deform_ratio": interaction.ratio,
        "with_cffn": True,
        "interact_attn_type": "deform" if interaction.attention == "deformable" else "normal",
        "interaction_drop_path_rate": 0.4,
    }
    if not interaction.project:
        arguments |= {"interaction_proj": False, "norm_layer": "none"}
    return arguments


def interaction_indexes(spec: catalog.Model, count: int) -> list[list[int]]:
    """Return the inclusive block ranges that end with an interaction."""
    ends = catalog.positions(spec, count)
    return [[start, end] for start, end in zip((0, *(end + 1 for end in ends[:-1])), ends, strict=True)]


def branch_arguments(
    branch: Branch, code_base: CodeBase, weights: PretrainedWeights, families: set[str]
) -> dict[str, Any]:
    """Return the arguments of one branch, without its block ranges.

    `families` are the pre-training families of all branches, which the published drop-path rates depend on.
    """
    spec = branch.spec
    rate = drop_path(branch.model, families, classifier=code_base == "classification")
    pretrained = Noted(weights.path, weights.note)
    size = _size(branch, code_base)
    if isinstance(spec, catalog.ConvNeXt):
        strides = [spec.stride(block) for block in range(spec.blocks)]
        return {**size, "downsample_ratios": strides, "drop_path_rate": rate, "pretrained": pretrained}
    arguments = {
        **size,
        **_pretraining_sizes(branch, code_base, weights),
        "patch_size": spec.patch,
        "depth": spec.depth,
        "embed_dim": spec.dim,
        "num_heads": spec.heads,
        "mlp_ratio": spec.mlp_ratio,
        **_class_arguments(spec, code_base, weights),
        "drop_path_rate": rate,
        "pretrained": pretrained,
    }
    return arguments | _windows(branch, weights.branch_class)


def _pretraining_sizes(branch: Branch, code_base: CodeBase, weights: PretrainedWeights) -> dict[str, int]:
    """Return the sizes by which a branch resamples its file's position embedding.

    The segmentation code's `vit_models` never interpolates in the forward pass: it lays its embedding out for
    `pretrain_img_size`, reads the file's grid as `img_size // pretrain_patch_size` and resizes that to `img_size`.
    The target refuses sizes without such a patch, unless the design brings its own weights, whose grid replaces these.
    """
    if code_base != "segmentation" or weights.branch_class != "vit_models":
        return {"pretrain_img_size": weights.image_size, "pretrain_patch_size": weights.patch}
    patch = resizing_patch(branch.resolution, weights) or weights.patch
    return {"pretrain_img_size": branch.resolution, "pretrain_patch_size": patch}


def resizing_patch(resolution: int, weights: PretrainedWeights) -> int | None:
    """Return the patch by which `resolution` pixels have the grid of the weights' position embedding, if one does."""
    patch = resolution // weights.grid
    return patch if patch and resolution // patch == weights.grid else None


def resizable(resolution: int, weights: PretrainedWeights) -> int:
    """Return the least resolution, by steps of 16 pixels from the one given, that has a `resizing_patch`."""
    while resizing_patch(resolution, weights) is None:
        resolution += 16
    return resolution


def _windows(branch: Branch, branch_class: BranchClass) -> dict[str, Any]:
    """Return the window of every block; BEiT's relative positions need one, as large as the map where it is global."""
    windows = [branch.block_window(block) for block in range(branch.spec.blocks)]
    if branch_class == "BEiT":
        return {"window_attn": [True] * len(windows), "window_size": [window or branch.grid for window in windows]}
    if branch_class != "vit_models" and not branch.window:
        return {}
    return {
        "window_attn": [window is not None for window in windows],
        "window_size": [window or -1 for window in windows],
    }


def _size(branch: Branch, code_base: CodeBase) -> dict[str, int | str]:
    if code_base == "detection":
        return {"real_size": branch.resolution}
    if code_base == "segmentation":
        return {"real_size": branch.resolution, "img_size": branch.resolution}
    return {"img_size": branch.resolution}


def _class_arguments(spec: catalog.ViT, code_base: CodeBase, weights: PretrainedWeights) -> dict[str, Any]:
    """Return the arguments that only the branch's class takes."""
    detector: dict[str, Any] = {} if code_base == "classification" else {"with_fpn": False}
    match weights.branch_class:
        case "vit_models":
            kind = {"model_type": "deit"} if code_base == "classification" else {}
            return {**kind, "qkv_bias": spec.qkv_bias, "init_scale": 1.0, "use_flash_attn": True, **detector}
        case "InternViT6B":
            kind = {"model_type": "augreg"} if code_base == "classification" else {}
            layer_norm = "ln" if code_base == "classification" else "LayerNorm"
            rms = spec.norm == "rms"
            scale = {"init_values": 0.1 if rms else 1.0}
            if code_base == "classification" and not rms:
                scale = {}  # loading is strict there, and of these files only InternViT's own hold a LayerScale
            return {
                **kind,
                "qkv_bias": spec.qkv_bias,
                **scale,
                "qk_normalization": spec.qk_norm,
                "norm_layer_type": "RMSNorm" if rms else layer_norm,
                "mlp_type": "regular",
                "layerscale_force_fp32": False,
                "use_flash_attn": True,
                "with_cp": True,
                **detector,
            }
        case "BEiT":
            return {
                "qkv_bias": spec.qkv_bias,
                "init_values": 1e-6,
                "use_abs_pos_emb": False,
                "use_rel_pos_bias": True,
                **detector,
            }
        case _:  # UnifiedBertEncoder: nothing of its own
            return {}


def single(branch: Branch, code_base: CodeBase, weights: PretrainedWeights) -> dict[str, Any]:
    """Return the arguments of a single-branch backbone, the authors' branch class alone.

    A detector or segmenter needs a pyramid of maps, which the branch's own `with_fpn` makes from its last map.

    Raises:
        InputError: the class that the weights ask for makes no pyramid.
    """
    made = branch_arguments(branch, code_base, weights, {weights.family})
    made.pop("real_size", None)
    made.pop("model_type", None)
    if code_base == "classification":
        # Loading is strict for InternViT6B: what the file holds besides the blocks needs its class token.
        return made | {"use_cls_token": weights.branch_class == "InternViT6B"}
    arguments = {"type": weights.branch_class, **made}
    if isinstance(branch.spec, catalog.ConvNeXt):
        return arguments | {"real_size": branch.resolution, "single_branch": True}
    if weights.branch_class == "UnifiedBertEncoder":
        raise InputError(
            "Uni-Perceiver weights make a branch class without a pyramid: choose others for one branch alone"
        )
    depth = branch.spec.blocks
    quarters = [depth * (k + 1) // 4 - 1 for k in range(4)]
    read = quarters if code_base == "segmentation" else [depth - 1]
    return arguments | {"with_fpn": True, "use_simple_fpn": True, "out_indices": read}
