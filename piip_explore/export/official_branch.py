"""One branch's arguments under the authors' names as a branch of a design."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piip_explore import catalog
from piip_explore.design import Branch
from piip_explore.errors import InputError
from piip_explore.export.config_reader import shown
from piip_explore.export.pretrained import WEIGHTS, weights


def positive(owner: str, section: Mapping[str, Any], key: str, default: Any = None) -> int:
    """Return an argument that is a positive whole number; `owner` names its section in the error."""
    value = section.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{owner}: {key}={shown(value)}, expected a positive whole number")
    return value


def import_branch(section: Mapping[str, Any], base: str, owner: str, notes: list[str]) -> Branch:
    """Return the branch that the authors' arguments of one branch describe.

    Args:
        section: the arguments.
        base: the code base whose classes and defaults apply.
        owner: what errors call the section, such as `branch1`.
        notes: a sentence is added for what a design does not express.

    Raises:
        InputError: arguments that no branch of a design expresses.
    """
    size_key = "real_size" if base in ("detection", "segmentation") else "img_size"
    if size_key not in section and base == "segmentation":
        size_key = "img_size"
    size = positive(owner, section, size_key)
    try:
        return _sized_branch(section, base, owner, size, notes)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(owner) else f"{owner}: {text}") from None


def _sized_branch(section: Mapping[str, Any], base: str, owner: str, size: int, notes: list[str]) -> Branch:
    path = section.get("pretrained") or ""
    if not isinstance(path, str):
        raise InputError(f"{owner}: pretrained={shown(path)}, expected a path")
    if base == "llava":
        return Branch(_clip_model(section, owner, path), size)
    kind = section.get("type") or branch_class(section, base, path)
    if kind == "ConvNextHFWrapper":
        model = _convnext_model(section, owner, path)
        _check_strides(section, owner, model)
        return Branch(model, size)
    model = _vit_model(section, base, kind, owner, notes)
    window, every = _windows(section, owner, catalog.model(model).blocks, size // catalog.model(model).patch)
    return Branch(model, size, window, every)


def branch_class(section: Mapping[str, Any], base: str, path: str) -> str:
    """Return the authors' class that a branch becomes: by `model_type`, else by a word in the weights' path."""
    if base == "classification":
        kinds = {"deit": "vit_models", "augreg": "InternViT6B"}
        kind = section.get("model_type", "deit")
        if kind not in kinds:
            raise InputError(f"model_type={shown(kind)}: expected {' or '.join(kinds)}")
        return kinds[kind]
    words = {"deit": "vit_models", "beit": "BEiT", "perceiver": "UnifiedBertEncoder", "convnext": "ConvNextHFWrapper"}
    return next((kind for word, kind in words.items() if word in path), "InternViT6B")


_DEFAULTS: dict[str, dict[str, Any]] = {
    "vit_models": {"depth": 12, "embed_dim": 768, "num_heads": 12, "patch_size": 16, "qkv_bias": False},
    "BEiT": {"depth": 12, "embed_dim": 768, "num_heads": 12, "patch_size": 16, "qkv_bias": False},
    "UnifiedBertEncoder": {"depth": 12, "embed_dim": 768, "num_heads": 12, "patch_size": 16, "qkv_bias": True},
    "InternViT6B": {"depth": 48, "embed_dim": 3200, "num_heads": 25, "patch_size": 14, "qkv_bias": False},
}
"""What the authors' classes take where a config leaves an argument out (those that shape the network)."""


def _vit_model(section: Mapping[str, Any], base: str, kind: str, owner: str, notes: list[str]) -> str:
    defaults = dict(_DEFAULTS[kind])
    if base == "classification":
        defaults["patch_size"] = 16
    depth, dim, heads, patch = (
        positive(owner, section, key, defaults[key]) for key in ("depth", "embed_dim", "num_heads", "patch_size")
    )
    rms, qk_norm = _intern_norms(section, base, owner) if kind == "InternViT6B" else (False, False)
    if section.get("mlp_ratio", 4) != 4:
        raise InputError(f"mlp_ratio={shown(section['mlp_ratio'])}: the catalog's models have 4")
    spec = catalog.ViT(
        depth,
        dim,
        heads,
        patch,
        qkv_bias=bool(section.get("qkv_bias", defaults["qkv_bias"])),
        norm="rms" if rms else "layer",
        qk_norm=qk_norm,
        position="relative" if kind == "BEiT" else "absolute",
    )
    if kind in ("InternViT6B", "BEiT"):
        missing_scale = None if base == "classification" or kind == "BEiT" else 0.1
        if section.get("init_values", missing_scale) is None:
            notes.append(
                f"{owner} has no LayerScale (init_values=None); the design's network has one, of ones at first"
            )
    free = catalog.canonical_name(f"vit[depth={depth},dim={dim},heads={heads},patch={patch}]")
    own_weights = free not in WEIGHTS and section.get("pretrained") == weights(free).path
    for name, known in catalog.MODELS.items():
        if known == spec and not own_weights:
            return name
    if catalog.model(free) == spec:
        return free
    raise InputError(
        f"a {kind} of depth {depth}, width {dim}, {heads} heads, qkv_bias={spec.qkv_bias}, "
        f"qk_normalization={qk_norm} and norm '{spec.norm}' is no model of the catalog"
    )


def _intern_norms(section: Mapping[str, Any], base: str, owner: str) -> tuple[bool, bool]:
    classification = base == "classification"
    norm = section.get("norm_layer_type", "ln" if classification else "RMSNorm")
    if norm not in ("RMSNorm", "LayerNorm", "ln"):
        raise InputError(f"{owner}: norm_layer_type={shown(norm)}, expected RMSNorm or LayerNorm")
    return norm == "RMSNorm", bool(section.get("qk_normalization", not classification))


def _convnext_model(section: Mapping[str, Any], owner: str, path: str) -> str:
    sizes = section.get("convnext")
    if isinstance(sizes, Mapping):
        depths, dims = ("-".join(map(str, sizes.get(key, ()))) for key in ("depths", "hidden_sizes"))
        free = catalog.model(f"convnext[depths={depths},dims={dims}]")
        return next(
            (name for name, spec in catalog.MODELS.items() if spec == free), f"convnext[depths={depths},dims={dims}]"
        )
    return _named(owner, path, "convnext", ("tiny", "small", "base", "large"))


def _clip_model(section: Mapping[str, Any], owner: str, path: str) -> str:
    kind = section.get("model_type")
    if kind == "convnext_timm":
        return _named(owner, path, "convnext", ("tiny", "small", "base", "large"))
    if kind == "clip_hf":
        return _named(owner, path, "clip", ("base", "large"))
    raise InputError(f"{owner}: model_type={shown(kind)}, expected clip_hf or convnext_timm")


def _named(owner: str, path: str, family: str, sizes: tuple[str, ...]) -> str:
    for size in sizes:
        if size in path and family in path:
            return f"{family}_{size}"
    raise InputError(f"{owner}: pretrained={shown(path)} names no {family} of size {', '.join(sizes)}")


def _check_strides(section: Mapping[str, Any], owner: str, model: str) -> None:
    spec = catalog.model(model)
    ratios, expected = section.get("downsample_ratios"), [spec.stride(block) for block in range(spec.blocks)]
    if ratios is not None and ratios != expected:
        raise InputError(f"{owner}: downsample_ratios={shown(ratios)} do not fit {model}")


def _windows(section: Mapping[str, Any], owner: str, depth: int, grid: int) -> tuple[int | None, int | None]:
    """Return the window and every how many blocks attention is global, from the arguments of all blocks.

    A window at least as large as the map, `grid` cells wide, is global attention.
    """
    used, sides = section.get("window_attn") or False, section.get("window_size")
    used = [used] * depth if isinstance(used, bool) else used
    sides = [14 if sides is None else sides] * depth if isinstance(sides, int) or sides is None else sides
    if not isinstance(used, list | tuple) or not isinstance(sides, list | tuple) or {len(used), len(sides)} != {depth}:
        raise InputError(f"{owner}: window_attn and window_size need one entry for each of {depth} blocks")
    windows = [side if use else None for use, side in zip(used, sides, strict=True)]
    if not all(window is None or (isinstance(window, int) and window > 0) for window in windows):
        raise InputError(f"{owner}: window_size={shown(sides)}, expected positive whole numbers where window_attn is")
    windows = [None if window is None or window >= grid else window for window in windows]
    different = {window for window in windows if window is not None}
    if not different:
        return None, None
    if len(different) > 1:
        raise InputError(f"{owner}: window_size={shown(sorted(different))}, a design has one window per branch")
    (window,) = different
    every = windows.index(None) + 1 if None in windows else None
    if every and [w is None for w in windows] != [(block + 1) % every == 0 for block in range(depth)]:
        raise InputError(
            f"{owner}: global blocks {shown([i for i, w in enumerate(windows) if w is None])} are not "
            f"every {every}th one, which is all that a design expresses"
        )
    return window, every
