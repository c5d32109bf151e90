"""Pre-trained weights for a branch: every family's names as ours, position embeddings and patches resampled.

Ours are timm's names, so that timm, DeiT, DeiT III, AugReg, MAE and DINOv2 need next to no renaming; CLIP, InternViT
and ConvNeXt of Hugging Face, the original ConvNeXt, BEiTv2 and Uni-Perceiver are renamed by the rules below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from piip_explore.errors import InputError
from piip_explore.models import convnext_names
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.pyramid import BranchModule
from piip_explore.models.vit import VisionTransformer, resample_positions

Rules = list[tuple[str, str]]


@dataclass(frozen=True)
class Report:
    """What became of a file's tensors: `loaded` and `initial` are our names, `left_out` the file's.

    `initial` kept their fresh values because the file has none: only scales that start at one, class tokens and
    relative position biases may.
    """

    family: str
    loaded: tuple[str, ...]
    initial: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Family:
    """A way of naming: `mark` is a name that only this family has, `rules` rename, `unread` may be left out."""

    name: str
    mark: str
    rules: Rules
    unread: str


_TIMM_VIT_UNREAD = (
    r"(norm|fc_norm|head|head_dist|head_drop|pre_logits|decoder_\w+|lm_head|clip_projector|attn_pool|neck)\..*"
    r"|cls_token|dist_token|mask_token|register_tokens|reg_token|decoder_pos_embed"
    r"|.*relative_position_index|logit_scale"
)
_LAYER = r"(?:vision_model\.)?encoder\.layers\.(\d+)\."

_FAMILIES = (
    _Family(
        "InternViT (Hugging Face)",
        r"(vision_model\.)?encoder\.layers\.0\.attn\.qkv\.weight",
        [
            (r"(?:vision_model\.)?embeddings\.patch_embedding\.", "patch_embed.proj."),
            (r"(?:vision_model\.)?embeddings\.position_embedding$", "pos_embed"),
            (_LAYER + r"ls(\d)$", r"blocks.\1.ls\2.gamma"),
            (_LAYER + r"(.+)", r"blocks.\1.\2"),
        ],
        r"(vision_model\.)?embeddings\.class_embedding",
    ),
    _Family(
        "CLIP (Hugging Face)",
        r"(vision_model\.)?embeddings\.class_embedding",
        [
            (r"(?:vision_model\.)?embeddings\.patch_embedding\.", "patch_embed.proj."),
            (r"(?:vision_model\.)?embeddings\.position_embedding\.weight", "pos_embed"),
            (r"(?:vision_model\.)?embeddings\.class_embedding", "cls_token"),
            (r"(?:vision_model\.)?pre_layrnorm\.", "norm_pre."),
            (_LAYER + r"layer_norm(\d)\.", r"blocks.\1.norm\2."),
            (_LAYER + r"self_attn\.out_proj\.", r"blocks.\1.attn.proj."),
            (_LAYER + r"self_attn\.([qkv])_proj\.(weight|bias)", r"blocks.\1.attn.\2.\3"),
            (_LAYER + r"mlp\.fc(\d)\.", r"blocks.\1.mlp.fc\2."),
        ],
        r"(vision_model\.)?post_layernorm\..*|text_model\..*|text_projection\..*|visual_projection\..*|logit_scale"
        r"|.*position_ids",
    ),
    _Family(
        "Uni-Perceiver",
        r"visual_embed\.patch_embed\.proj\.weight",
        [
            (r"visual_embed\.patch_embed\.proj\.", "patch_embed.proj."),
            (r"visual_embed\.patch_embed\.spatial_pos_embed\.weight", "pos_embed"),
            (r"layers\.(\d+)\.norm(\d)\.", r"blocks.\1.norm\2."),
            (r"layers\.(\d+)\.self_attn\.in_proj_", r"blocks.\1.attn.qkv."),
            (r"layers\.(\d+)\.self_attn\.out_proj\.", r"blocks.\1.attn.proj."),
            (r"layers\.(\d+)\.linear(\d)\.", r"blocks.\1.mlp.fc\2."),
            (r"layers\.(\d+)\.gamma_(\d)", r"blocks.\1.ls\2.gamma"),
        ],
        # The norm behind the embedding has no counterpart in our branch, nor has PIIP's catalogued ViT one.
        r"visual_embed\.(embeddings_norm|embeddings_type)\..*|visual_embed\.patch_embed\.temporal_pos_embed\.weight"
        r"|(token_embed|video_embed|prompt_embed|cls_head|predictor|loss_prepare)\..*|logit_scale",
    ),
    _Family(
        "ConvNeXt (Hugging Face)",
        r"(convnext\.)?embeddings\.patch_embeddings\.weight",
        [(r"(?:convnext\.)?" + pattern, replacement) for pattern, replacement in convnext_names.TO_OURS],
        r"((convnext\.)?layernorm|classifier)\..*",
    ),
    _Family(
        "ConvNeXt (original)",
        r"downsample_layers\.0\.0\.weight",
        [
            (r"downsample_layers\.0\.", "stem."),
            (r"downsample_layers\.(\d+)\.", r"stages.\1.downsample."),
            (r"stages\.(\d+)\.(\d+)\.dwconv\.", r"stages.\1.blocks.\2.conv_dw."),
            (r"stages\.(\d+)\.(\d+)\.pwconv(\d)\.", r"stages.\1.blocks.\2.mlp.fc\3."),
            (r"stages\.(\d+)\.(\d+)\.(norm\.|gamma)", r"stages.\1.blocks.\2.\3"),
        ],
        r"(norm|head)\..*",
    ),
    _Family(
        "ConvNeXt (timm)",
        r"(visual\.trunk\.)?stem\.0\.weight",
        [(r"visual\.trunk\.", "")],
        r"(visual\.trunk\.)?(head|norm_pre)\..*|visual\.head\..*|(transformer|token_embedding|ln_final)\..*"
        r"|text_projection|positional_embedding|logit_scale|attn_mask",
    ),
    _Family(
        "BEiTv2",
        r"blocks\.0\.attn\.(q_bias|relative_position_bias_table)|rel_pos_bias\.relative_position_bias_table",
        [
            (r"blocks\.(\d+)\.gamma_(\d)", r"blocks.\1.ls\2.gamma"),
            (r"blocks\.(\d+)\.attn\.relative_position_bias_table", r"blocks.\1.attn.bias.relative_position_bias_table"),
        ],
        _TIMM_VIT_UNREAD + r"|cls_pt_layers\..*",
    ),
    _Family(
        "timm (DeiT, AugReg, MAE, DINOv2, InternViT)",
        r"patch_embed\.proj\.weight",
        [
            (r"blocks\.(\d+)\.gamma_(\d)", r"blocks.\1.ls\2.gamma"),
            (r"blocks\.(\d+)\.attn\.inner_attn\.", r"blocks.\1.attn."),
        ],
        _TIMM_VIT_UNREAD,
    ),
)

_MAY_STAY_INITIAL = r"blocks\.\d+\.ls\d\.gamma|cls_token|blocks\.\d+\.attn\.bias\.relative_position_bias_table"


def load_branch(branch: BranchModule, state: Mapping[str, Tensor]) -> Report:
    """Load pre-trained weights into a branch: names of any known family, resampled to the branch's patch and grid.

    Position embeddings and relative position biases are resampled bicubically; so are patch kernels. A class token's
    position is added to the token, since ours gets none.

    Args:
        branch: a branch of a network, changed in place only if everything fits.
        state: the tensors of a file, as `read_checkpoint` returns them.

    Raises:
        InputError: names of no known family, or tensors that do not fit the branch; the sentence lists the names.
    """
    family = next((f for f in _FAMILIES if any(re.fullmatch(f.mark, name) for name in state)), None)
    if family is None:
        shown = ", ".join(list(state)[:3])
        raise InputError(f"these weights ({shown}, ...) are of no known family of branches")
    ours, left_out = _rename(state, family, branch)
    wanted = branch.state_dict()
    initial = [name for name in wanted if name not in ours and re.fullmatch(_MAY_STAY_INITIAL, name)]
    problems = [f"{name} is missing" for name in wanted if name not in ours and name not in initial]
    problems += [f"{name} is unknown" for name in left_out if not re.fullmatch(family.unread, name)]
    problems += [
        f"{name} has shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
        for name, tensor in ours.items()
        if tensor.shape != wanted[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 6} more" if len(problems) > 6 else ""
        raise InputError(f"{family.name} weights do not fit the branch: {'; '.join(problems[:6])}{more}")
    branch.load_state_dict(ours, strict=False)
    return Report(family.name, tuple(ours), tuple(initial), tuple(left_out))


def _rename(state: Mapping[str, Tensor], family: _Family, branch: BranchModule) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors under our names, shaped for the branch, and the file's names that are not ours."""
    wanted = branch.state_dict()
    renamed: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for name, tensor in state.items():
        new = name
        for pattern, replacement in family.rules:
            new = re.sub("^" + pattern, replacement, new)
        renamed[new], origin[new] = tensor, name
    if isinstance(branch, VisionTransformer):
        _join_qkv(renamed, origin)
        _shape_vit(renamed, branch, family.name)
    else:
        _shape_convnext(renamed, branch)
    ours = {name: tensor for name, tensor in renamed.items() if name in wanted}
    return ours, [origin.get(name, name) for name in renamed if name not in wanted]


def _join_qkv(state: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Join separate projections (CLIP) and separate biases (BEiTv2, whose keys have none) into `qkv`."""
    for name in [name for name in state if re.fullmatch(r"blocks\.\d+\.attn\.q\.(weight|bias)", name)]:
        block, kind = name.split("q.")
        if all(f"{block}{letter}.{kind}" in state for letter in "qkv"):
            state[f"{block}qkv.{kind}"] = torch.cat([state.pop(f"{block}{letter}.{kind}") for letter in "qkv"])
    for name in [name for name in state if name.endswith(".attn.q_bias")]:
        block = name.removesuffix("q_bias")
        if block + "v_bias" in state:
            query, value = state.pop(name), state.pop(block + "v_bias")
            state[block + "qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])


def _shape_vit(state: dict[str, Tensor], branch: VisionTransformer, family: str) -> None:
    kernel = state.get("patch_embed.proj.weight")
    if kernel is not None and kernel.ndim == 4:
        state["patch_embed.proj.weight"] = _resample_kernel(kernel, branch.spec.patch)
    position = state.get("pos_embed")
    if position is not None:
        temporal = state.get("visual_embed.patch_embed.temporal_pos_embed.weight")
        position = position.reshape(1, -1, position.shape[-1]) + (0 if temporal is None else temporal[0])
        state["pos_embed"] = _resample_positions(position, state, branch)
    token = state.get("cls_token")
    if token is not None:
        state["cls_token"] = token.reshape(1, 1, -1)
    shared = state.pop("rel_pos_bias.relative_position_bias_table", None)
    for index, block in enumerate(branch.blocks):
        bias = block.attn.bias  # type: ignore[union-attr]
        name = f"blocks.{index}.attn.bias.relative_position_bias_table"
        table = state.get(name, shared)
        if bias is not None and table is not None:
            state[name] = _resample_bias(table, bias.side, bias.class_token)  # type: ignore[union-attr, arg-type]


def _resample_kernel(kernel: Tensor, patch: int) -> Tensor:
    """Resample a patch kernel (dim, 3, p, p) bicubically to another patch size."""
    if kernel.shape[-1] == patch:
        return kernel
    return F.interpolate(kernel.float(), size=(patch, patch), mode="bicubic", align_corners=False).to(kernel.dtype)


def _resample_positions(position: Tensor, state: dict[str, Tensor], branch: VisionTransformer) -> Tensor:
    """Resample positions (1, [prefix +] side^2, dim) bicubically to the branch's grid; prefix tokens lose theirs."""
    prefix = position.shape[1] - math.isqrt(position.shape[1]) ** 2
    if prefix and "cls_token" in state:
        state["cls_token"] = state["cls_token"].reshape(1, 1, -1) + position[:, :1]
    position = position[:, prefix:]
    if branch.pos_embed is None:
        return position
    target = math.isqrt(branch.pos_embed.shape[1])
    return resample_positions(position.float(), (target, target)).to(position.dtype)


def _resample_bias(table: Tensor, side: int, class_token: bool) -> Tensor:
    """Resample a relative position bias ((2s-1)^2 [+ 3], heads) bicubically to maps of another side."""
    span = math.isqrt(table.shape[0])
    own, target = table[: span * span], 2 * side - 1
    if span != target:
        square = own.float().T.unflatten(1, (span, span))[None]
        square = F.interpolate(square, size=(target, target), mode="bicubic", align_corners=False)
        own = square[0].flatten(1).T.to(table.dtype)
    rest = table[span * span :] if table.shape[0] > span * span else table.new_zeros(3, table.shape[1])
    return torch.cat([own, rest]) if class_token else own


def _shape_convnext(state: dict[str, Tensor], branch: ConvNeXtBranch) -> None:
    """Reshape pointwise layers that a file keeps as 1x1 convolutions."""
    for name, tensor in branch.state_dict().items():
        if name in state and tensor.ndim == 2 and state[name].ndim == 4:
            state[name] = state[name].flatten(1)
