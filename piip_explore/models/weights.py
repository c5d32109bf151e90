"""Pre-trained weights for a branch: every family's names as ours, position embeddings and patches resampled."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from piip_explore import catalog
from piip_explore.errors import InputError
from piip_explore.models.map_branch import MapBranch
from piip_explore.models.pyramid import BranchModule
from piip_explore.models.tensors import not_finite, odd
from piip_explore.models.vit import VisionTransformer, resample_positions
from piip_explore.models.weight_families import FAMILIES, Family

_PREFIX = 5
"""The most tokens (class, distillation, registers) that may precede the map in a position embedding."""
_TEMPORAL = "visual_embed.patch_embed.temporal_pos_embed.weight"


@dataclass(frozen=True)
class LoadReport:
    """What became of a file's tensors: `loaded` and `initial` are our names, `left_out` the file's.

    `initial` kept their fresh values because the file has none: only scales that start at one, class tokens and
    relative position biases may.
    """

    family: str
    loaded: tuple[str, ...]
    initial: tuple[str, ...]
    left_out: tuple[str, ...]


_MAY_STAY_INITIAL = r"blocks\.\d+\.ls\d\.gamma|cls_token|blocks\.\d+\.attn\.bias\.relative_position_bias_table"


def load_branch(branch: BranchModule, state: Mapping[str, Tensor]) -> LoadReport:
    """Load pre-trained weights into a branch: names of any known family, resampled to the branch's patch and grid.

    Position embeddings and relative position biases are resampled bicubically; so are patch kernels. A class token's
    position is added to the token, since ours gets none. A branch for images of more than three channels keeps the
    file's kernels for the first three and starts with zeros for the others, so that it begins as the file's network;
    one for fewer has the mean of the three in each, scaled so that grey images give the same.

    Rotary positions leave no tensor in a file: the file's family, and its position embedding if it has one, tell
    whether they fit.

    Args:
        branch: a branch of a network, changed in place only if everything fits.
        state: the tensors of a file, as `read_checkpoint` returns them.

    Raises:
        InputError: names of no known family; tensors that do not fit the branch or cannot be weights (not finite,
            quantised, sparse); the sentence lists the names.
    """
    family = _family(state)
    problems = [f"{name} {why}" for name, tensor in state.items() if _used(name, family) and (why := odd(tensor))]
    if problems:
        raise _misfit(family, problems)
    if isinstance(branch, VisionTransformer):
        problems += _other_rotary(state, family, branch.spec)
    ours, left_out = _rename(state, family, branch)
    wanted = branch.state_dict()
    may_stay = f"{_MAY_STAY_INITIAL}|{family.optional}"
    initial = [name for name in wanted if name not in ours and re.fullmatch(may_stay, name)]
    problems += [f"{name} is missing" for name in wanted if name not in ours and name not in initial]
    problems += [f"{name} is unknown" for name in left_out if not re.fullmatch(family.unread, name)]
    problems += [
        f"{name} has shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
        for name, tensor in ours.items()
        if tensor.shape != wanted[name].shape
    ]
    problems += [f"{name} {why}" for name, tensor in ours.items() if (why := not_finite(tensor, wanted[name].dtype))]
    if problems:
        raise _misfit(family, problems, _model_of(family, state, branch))
    branch.load_state_dict(ours, strict=False)
    return LoadReport(family.name, tuple(ours), tuple(initial), tuple(left_out))


def _family(state: Mapping[str, Tensor]) -> Family:
    if not isinstance(state, Mapping):
        raise InputError(
            f"load_branch expects the tensors of a file, not a {type(state).__name__}: pass "
            "read_checkpoint(path).tensors, of piip_explore.export.checkpoints"
        )
    if odd := next((name for name in state if not isinstance(name, str)), None):
        raise InputError(f"weights are a table of tensors by name: {odd!r} is not a name")
    family = next((f for f in FAMILIES if f.fits(state.keys())), None)
    if family is None:
        shown = ", ".join(list(state)[:3])
        raise InputError(f"these weights ({shown}, ...) belong to no known family of branches")
    return family


def _misfit(family: Family, problems: list[str], model: str | None = None) -> InputError:
    more = f" and {len(problems) - 6} more" if len(problems) > 6 else ""
    choose = f". They are those of the branch model '{model}': choose it in the design" if model else ""
    return InputError(f"{family.name} weights do not fit the branch: {'; '.join(problems[:6])}{more}{choose}")


def _model_of(family: Family, state: Mapping[str, Tensor], branch: BranchModule) -> str | None:
    """Return the catalogued model that the weights belong to, if it is not the branch's and their family tells."""
    kernel = state.get("patch_embed.proj.weight")
    if not family.models or kernel is None or kernel.ndim == 0:
        return None
    depth = len({match[1] for name in state if (match := re.match(r"blocks\.(\d+)\.", name))})
    gated = any(re.fullmatch(r"blocks\.0\.mlp\.(fc1_g|w1|w12)\.weight", name) for name in state)
    for name, spec in catalog.MODELS.items():
        if not name.startswith(family.models) or not isinstance(spec, catalog.ViT):
            continue
        if (spec.depth, spec.dim, spec.activation == "swiglu") == (depth, kernel.shape[0], gated):
            return None if getattr(branch, "spec", None) == spec else name
    return None


def _other_rotary(state: Mapping[str, Tensor], family: Family, spec: catalog.ViT) -> list[str]:
    """Return why weights were not trained with the branch's rotary positions, empty if they were."""
    if family.rotary and spec.rotary is None:
        return ["they were trained with rotary positions, which the branch lacks"]
    if spec.rotary is None:
        return []
    if family.rotary is False:
        return ["they were trained without rotary positions, which the branch has"]
    position = state.get("pos_embed")
    if position is None or spec.position == "none" or not _on_square(position, spec.dim):
        return []
    tokens = position.numel() // spec.dim
    side = math.isqrt(tokens)
    if side**2 == tokens or side == spec.rotary.extent:  # without a class token's place it comes from a branch of ours
        return []
    return [f"they were trained with rotary positions of a map of {side}, the branch's are of {spec.rotary.extent:g}"]


def _used(name: str, family: Family) -> bool:
    """Return whether a tensor of a file is read, for some branches at least."""
    return not re.fullmatch(family.unread, name) or name in ("cls_token", "reg_token", "register_tokens", _TEMPORAL)


def _rename(state: Mapping[str, Tensor], family: Family, branch: BranchModule) -> tuple[dict[str, Tensor], list[str]]:
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
        _join_qkv(renamed)
        _join_gates(renamed)
        _shape_vit(renamed, branch, family)
    else:
        _shape_convnext(renamed, branch)
    for name in ("patch_embed.proj.weight", "stem.0.weight"):
        if name in renamed:
            renamed[name] = _for_channels(renamed[name], branch.in_channels)
    ours = {name: tensor for name, tensor in renamed.items() if name in wanted}
    return ours, [origin.get(name, name) for name in renamed if name not in wanted]


def _join_qkv(state: dict[str, Tensor]) -> None:
    """Join separate projections (CLIP) and separate biases (BEiTv2 and timm's DINOv3, whose keys have none) into `qkv`.

    The authors' DINOv3 masks the keys' part of a joint bias.
    """
    for name in [name for name in state if re.fullmatch(r"blocks\.\d+\.attn\.q\.(weight|bias)", name)]:
        block, kind = name.split("q.")
        parts = [f"{block}{letter}.{kind}" for letter in "qkv"]
        if all(part in state for part in parts) and len({state[part].shape for part in parts}) == 1:
            state[f"{block}qkv.{kind}"] = torch.cat([state.pop(part) for part in parts])
    for name in [name for name in state if name.endswith(".attn.q_bias")]:
        block = name.removesuffix("q_bias")
        other = state.get(block + "v_bias")
        if other is not None and other.shape == state[name].shape:
            query, value = state.pop(name), state.pop(block + "v_bias")
            state[block + "qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])

    for name in [name for name in state if name.endswith(".attn.qkv.bias_mask")]:
        bias, mask = name.removesuffix("_mask"), state[name]
        if bias in state and state[bias].shape == mask.shape:
            state[bias] = torch.where(state.pop(name) == 0, 0, state[bias])


def _join_gates(state: dict[str, Tensor]) -> None:
    """Join the gate and the other half of a gated MLP's first layer (DINOv3) into `fc1`, gate first."""
    for name in [name for name in state if ".mlp.fc1_g." in name]:
        other = name.replace("fc1_g", "fc1_x")
        if other in state and state[other].shape == state[name].shape:
            state[name.replace("fc1_g", "fc1")] = torch.cat([state.pop(name), state.pop(other)])


def _shape_vit(state: dict[str, Tensor], branch: VisionTransformer, family: Family) -> None:
    dim = branch.spec.dim
    kernel = state.get("patch_embed.proj.weight")
    if kernel is not None and kernel.ndim == 4 and kernel.shape[2] == kernel.shape[3]:
        state["patch_embed.proj.weight"] = _resample_kernel(kernel, branch.spec.patch)
    token = state.get("cls_token")
    if token is not None and token.numel() == dim:
        state["cls_token"] = token.reshape(1, 1, dim)
    position, temporal = state.get("pos_embed"), state.get(_TEMPORAL)
    if position is not None and _on_square(position, dim):
        position = position.reshape(1, -1, dim)
        if temporal is not None:
            if temporal.shape[1:] != (dim,):
                raise _misfit(family, [f"{_TEMPORAL} has shape {tuple(temporal.shape)}, expected (frames, {dim})"])
            position = position + temporal[0]
        state["pos_embed"] = _resample_positions(position, state, branch)
    shared = state.pop("rel_pos_bias.relative_position_bias_table", None)
    for index, block in enumerate(branch.blocks):
        bias = block.attn.bias  # type: ignore[union-attr]
        name = f"blocks.{index}.attn.bias.relative_position_bias_table"
        table = state.get(name, shared)
        if bias is not None and table is not None:
            state[name] = _resample_bias(table, bias.side, bias.class_token)  # type: ignore[union-attr, arg-type]


def _on_square(position: Tensor, dim: int) -> bool:
    """Return whether positions are those of a square map with at most a few tokens before it."""
    sides = [side for side in position.shape[:-1] if side > 1]
    if position.shape[-1:] != (dim,) or len(sides) > 2 or len(set(sides)) > 1:
        return False
    count = math.prod(sides)
    return count - math.isqrt(count) ** 2 <= _PREFIX


def _for_channels(kernel: Tensor, channels: int) -> Tensor:
    """Make a kernel (dim, 3, p, p) one for images of other channels; any other is returned as it is."""
    if kernel.ndim != 4 or kernel.shape[1] != 3 or channels == 3:
        return kernel
    if channels > 3:
        return torch.cat([kernel, kernel.new_zeros(len(kernel), channels - 3, *kernel.shape[2:])], 1)
    return kernel.mean(1, keepdim=True).repeat(1, channels, 1, 1) * (3 / channels)


def _resample_kernel(kernel: Tensor, patch: int) -> Tensor:
    """Resample a patch kernel (dim, 3, p, p) bicubically to another patch size."""
    if kernel.shape[-1] == patch:
        return kernel
    return F.interpolate(kernel.float(), size=(patch, patch), mode="bicubic", align_corners=False).to(kernel.dtype)


def _resample_positions(position: Tensor, state: dict[str, Tensor], branch: VisionTransformer) -> Tensor:
    """Resample positions (1, [prefix +] side^2, dim) bicubically to the branch's grid; prefix tokens lose theirs."""
    prefix = position.shape[1] - math.isqrt(position.shape[1]) ** 2
    token = state.get("cls_token")
    if prefix and token is not None and token.shape == position[:, :1].shape:
        state["cls_token"] = token + position[:, :1]
    position = position[:, prefix:]
    if branch.pos_embed is None:
        return position
    target = math.isqrt(branch.pos_embed.shape[1])
    return resample_positions(position.float(), (target, target)).to(position.dtype)


def _resample_bias(table: Tensor, side: int, class_token: bool) -> Tensor:
    """Resample a relative position bias ((2s-1)^2 [+ 3], heads) bicubically to maps of another side.

    A table of another form is returned as it is, to be refused for its shape.
    """
    span = math.isqrt(len(table)) if table.ndim == 2 else 0
    if not span or len(table) - span**2 not in (0, 3):
        return table
    own, target = table[: span * span], 2 * side - 1
    if span != target:
        square = own.float().T.unflatten(1, (span, span))[None]
        square = F.interpolate(square, size=(target, target), mode="bicubic", align_corners=False)
        own = square[0].flatten(1).T.to(table.dtype)
    rest = table[span * span :] if table.shape[0] > span * span else table.new_zeros(3, table.shape[1])
    return torch.cat([own, rest]) if class_token else own


def _shape_convnext(state: dict[str, Tensor], branch: MapBranch) -> None:
    """Reshape pointwise layers that a file keeps as 1x1 convolutions."""
    for name, tensor in branch.state_dict().items():
        if name in state and tensor.ndim == 2 and state[name].ndim == 4:
            state[name] = state[name].flatten(1)
