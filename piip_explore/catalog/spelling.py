"""How papers and timm spell the names of the catalog's models."""

from __future__ import annotations

import re

from piip_explore import plugins
from piip_explore.catalog.models import MODELS
from piip_explore.errors import expected

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


def catalogued(name: str) -> str | None:
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


def unknown(name: str) -> str:
    """Return the sentence about a name that is not in the catalog."""
    known, patch = _respelled(name)
    if known in MODELS:
        of_patch = MODELS[known].patch
        return f"model '{name}' has patches of {patch}, and the catalog's '{known}' of {of_patch}: write '{known}'"
    how = expected(name, [*MODELS, *plugins.offered("branches")])
    free = ", vit[depth=12,dim=160,heads=2] or convnext[depths=3-3-9-3,dims=24-48-96-192]"
    return f"unknown model '{name}': {how}" + ("" if how.endswith("?") else free)
