"""From a name to a model, and back.

There are the catalog's names, however papers and timm spell them, free ones with their sizes, and other packages'.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from piip_explore import plugins
from piip_explore.catalog.kinds import ConvNeXt, Model, OwnBranch, ViT
from piip_explore.catalog.models import MODELS
from piip_explore.errors import InputError, expected

_FREE = re.compile(r"([\w.-]+)\[([^\]]*)\]")
_PLAIN = ViT(1, 1, 1)
"""The structure of `vit[...]`; its sizes do not matter."""

_FAMILIES = {
    "deit": "vit",
    "deit3": "vit",
    "dinov2": "vit",
    "internvit": "intern_vit",
    "beitv2": "beit",
    "clip_vit": "clip",
}
_SIZES = {"t": "tiny", "ti": "tiny", "s": "small", "b": "base", "l": "large", "h": "huge", "g": "giant"}
_SIZES |= {"splus": "small_plus", "hplus": "huge_plus", "giantopt": "giant"}
_SPELLING = re.compile(
    r"(vit|deit3?|dinov2|intern_?vit|beit(?:v2)?|clip(?:_vit)?|convnext)_?(tiny|small|base|large|huge|6b|ti|[tsblh])"
    r"(?:[/_](?:patch)?(\d{1,2}))?(_clip|_dinov2)?(?:_\d{3,4}(?:px)?)?(?:\..*)?"
)
"""Papers' and timm's spellings, such as ViT-S, ViT-B/16, ConvNeXt-T or vit_small_patch16_224.augreg_in21k."""
_LATER_SPELLINGS = {
    r"vit_(?P<size>\w+)_patch(?P<patch>\d+)_reg4_dinov2(?:\..*)?": "dinov2_reg_",
    r"dinov2_vit(?P<size>[sblg])(?P<patch>\d+)_reg4?(?:_.*)?": "dinov2_reg_",
    r"vit_(?P<size>\w+)_patch(?P<patch>\d+)_dinov3(?:_qkvb)?(?:\..*)?": "dinov3_",
    r"dinov3_vit(?P<size>7b|[sblh])(?P<patch>\d+)(?P<plus>plus)?(?:_.*)?": "dinov3_",
    r"vit_(?P<size>[a-z0-9]+)_patch(?P<patch>\d+)_siglip(?:_gap)?_\d+\.v2_webli": "siglip2_",
    r"siglip2_(?P<size>[a-z0-9]+)_patch(?P<patch>\d+)_\d+": "siglip2_",
    r"vit_pe_(?P<size>(?:core|spatial)_[a-z]+)_patch(?P<patch>\d+)_\d+(?:\..*)?": "pe_",
}
"""timm's and the authors' spellings of later families, such as vit_base_patch16_dinov3.lvd1689m or dinov3_vitb16."""


@cache
def model(name: str) -> Model:
    """Return the specification that a branch model's name stands for, catalogued or free.

    Free models are written `vit[depth=12,dim=160,heads=2]` (optionally `patch=8`) and
    `convnext[depths=3-3-9-3,dims=24-48-96-192]` (optionally `patch=2`); `dinov3_base[depth=12,dim=160,heads=2]` has the
    structure of a catalogued ViT at other sizes.

    Raises:
        InputError: the name is unknown, or a free model lacks or misstates a size.
    """
    if known := _catalogued(name):
        return MODELS[known]
    if name in plugins.offered("branches"):
        return _own(name)
    match = _FREE.fullmatch(name)
    if match is None:
        raise InputError(_unknown(name))
    family, text = match.groups()
    if family == "convnext":
        return _free_convnext(name, text)
    template = _PLAIN if family == "vit" else MODELS.get(_catalogued(family) or "")
    if not isinstance(template, ViT):
        raise InputError(_unknown(name))
    return _free_vit(name, text, template)


def canonical_name(name: str) -> str:
    """Return the canonical name of a model: the catalog's name for its structure if there is one.

    Other free models list their sizes in a fixed order without defaults, after `vit`, `convnext` or the first
    catalogued model of their structure.
    """
    if written := _catalogued(name):
        return written
    spec = model(name)
    if isinstance(spec, OwnBranch):
        return name
    for known, structure in MODELS.items():
        if structure == spec:
            return known
    return free_name(spec)


def free_name(spec: Model) -> str:
    """Return the free name of a ConvNeXt, or of a ViT with the structure of `vit[...]` or of a catalogued model."""
    if isinstance(spec, ConvNeXt):
        patch = f",patch={spec.patch}" if spec.patch != 4 else ""
        return f"convnext[depths={_dashed(spec.depths)},dims={_dashed(spec.dims)}{patch}]"
    templates = {"vit": _PLAIN, **MODELS}
    for family, template in templates.items():
        if not isinstance(template, ViT):
            continue
        if replace(template, depth=spec.depth, dim=spec.dim, heads=spec.heads, patch=spec.patch) == spec:
            patch = f",patch={spec.patch}" if spec.patch != template.patch else ""
            return f"{family}[depth={spec.depth},dim={spec.dim},heads={spec.heads}{patch}]"
    raise InputError(f"no model of the catalog has the structure of {spec}")


def structure(spec: Model) -> str:
    """Return the sizes of a model in words, and what else its structure has."""
    if isinstance(spec, OwnBranch) and len(spec.depths) == 1:
        return f"{spec.modules}, {spec.depths[0]} blocks of width {spec.dims[0]}"
    if isinstance(spec, ConvNeXt):
        kind = spec.modules if isinstance(spec, OwnBranch) else "ConvNeXt"
        return f"{kind}, stages of {_dashed(spec.depths)} blocks of width {_dashed(spec.dims)}"
    extras = {
        "class token": spec.class_token,
        f"{spec.registers} registers": spec.registers,
        "rotary positions": spec.rotary,
        "SwiGLU": spec.activation == "swiglu",
        "no LayerScale": not spec.layer_scale,
    }
    return ", ".join(
        [
            f"ViT, {spec.depth} blocks of width {spec.dim}",
            f"{spec.heads} heads",
            *(e for e, has in extras.items() if has),
        ]
    )


def _catalogued(name: str) -> str | None:
    """Return the catalog's name of a model, however papers and timm spell it, None if the catalog lacks it."""
    if name in MODELS:
        return name
    known, patch = _respelled(name)
    return known if known in MODELS and patch in (None, MODELS[known].patch) else None


def _respelled(name: str) -> tuple[str | None, int | None]:
    """Return the name that a spelling would have in the catalog, and the patch that it states."""
    plain = name.lower().replace("-", "_")
    for pattern, family in _LATER_SPELLINGS.items():
        if later := re.fullmatch(pattern, plain):
            size = later["size"] + (later.groupdict().get("plus") or "")
            return family + _SIZES.get(size, size), int(later["patch"])
    match = _SPELLING.fullmatch(plain)
    if match is None:
        return None, None
    family, size, patch, source = match.groups()
    family = "clip" if source == "_clip" else _FAMILIES.get(family, family)
    return f"{family}_{_SIZES.get(size, size)}", int(patch) if patch else None


def _unknown(name: str) -> str:
    """Return the sentence about a name that is not in the catalog."""
    known, patch = _respelled(name)
    if known in MODELS:
        of_patch = MODELS[known].patch
        return f"model '{name}' has patches of {patch}, and the catalog's '{known}' of {of_patch}: write '{known}'"
    how = expected(name, [*MODELS, *plugins.offered("branches")])
    free = ", vit[depth=12,dim=160,heads=2] or convnext[depths=3-3-9-3,dims=24-48-96-192]"
    return f"unknown model '{name}': {how}" + ("" if how.endswith("?") else free)


def _own(name: str) -> OwnBranch:
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name):
        raise InputError(f"model '{name}' of an installed package: expected letters, digits, '_', '.' and '-'")
    spec = plugins.load("branches", name)
    if not isinstance(spec, OwnBranch):
        raise InputError(f"model '{name}' of an installed package: expected a piip_explore.catalog.OwnBranch")
    return spec


def _dashed(values: tuple[int, ...]) -> str:
    return "-".join(map(str, values))


def _sizes(name: str, text: str, required: set[str]) -> dict[str, tuple[int, ...]]:
    sizes: dict[str, tuple[int, ...]] = {}
    for item in text.split(","):
        key, _, value = item.strip().partition("=")
        if key not in required | {"patch"} or key in sizes:
            wanted = ", ".join(sorted(required | {"patch"}))
            raise InputError(f"'{item.strip()}' in '{name}': expected each of {wanted} once, as key=value")
        if not re.fullmatch(r"[1-9]\d{0,5}(-[1-9]\d{0,5})*", value):
            raise InputError(f"'{item.strip()}' in '{name}': expected a positive whole number")
        sizes[key] = tuple(map(int, value.split("-")))
    if missing := required - sizes.keys():
        raise InputError(f"'{name}' lacks {', '.join(sorted(missing))}")
    return sizes


def _one(name: str, key: str, values: tuple[int, ...]) -> int:
    if len(values) != 1:
        raise InputError(f"'{key}={_dashed(values)}' in '{name}': expected one number")
    return values[0]


def _free_vit(name: str, text: str, template: ViT) -> ViT:
    sizes = {key: _one(name, key, values) for key, values in _sizes(name, text, {"depth", "dim", "heads"}).items()}
    spec = replace(template, **sizes)  # type: ignore[arg-type]
    if spec.dim % spec.heads:
        raise InputError(f"'{name}': dim {spec.dim} is not divisible by heads {spec.heads}")
    if spec.rotary and spec.dim // spec.heads % 4:
        raise InputError(
            f"'{name}': rotary positions need heads whose width is a multiple of 4, not {spec.dim // spec.heads}"
        )
    return spec


def _free_convnext(name: str, text: str) -> ConvNeXt:
    sizes = _sizes(name, text, {"depths", "dims"})
    depths, dims = sizes["depths"], sizes["dims"]
    if len(depths) != 4 or len(dims) != 4:
        raise InputError(f"'{name}': depths and dims need four numbers each, such as 3-3-9-3")
    return ConvNeXt(depths, dims, _one(name, "patch", sizes.get("patch", (4,))))
