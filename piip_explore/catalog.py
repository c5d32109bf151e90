"""What the model names mean: sizes and structure of every branch model, as data.

Sources: PIIP (arXiv 2501.07783, Sec. IV; arXiv 2406.04330), DeiT III (arXiv 2204.07118), ConvNeXt (arXiv
2201.03545), InternVL (arXiv 2312.14238), BEiT v2 (arXiv 2208.06366), DINOv2
(arXiv 2304.07193), CLIP (arXiv 2103.00020).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from piip_explore.errors import InputError


@dataclass(frozen=True)
class ViT:
    """A vision transformer: `depth` pre-norm blocks of width `dim` on a grid of patches.

    `position` is the kind of position information: an absolute embedding added to the patches, or a relative bias
    inside every attention. `embed_norm` is CLIP's LayerNorm between the embedding and the first block. `class_token`
    says that the model has one in every design; the others have one only where branches keep heads of their own.
    """

    depth: int
    dim: int
    heads: int
    patch: int = 16
    mlp_ratio: int = 4
    qkv_bias: bool = True
    norm: Literal["layer", "rms"] = "layer"
    qk_norm: bool = False
    layer_scale: bool = True
    position: Literal["absolute", "relative"] = "absolute"
    embed_norm: bool = False
    activation: Literal["gelu", "quick-gelu"] = "gelu"
    class_token: bool = False

    @property
    def blocks(self) -> int:
        """Number of blocks that exchanges are placed after."""
        return self.depth

    def width(self, block: int) -> int:
        """Channels after `block` (from 0)."""
        return self.dim

    def stride(self, block: int) -> int:
        """Input pixels per cell of the map after `block`."""
        return self.patch

    @property
    def out_dim(self) -> int:
        """Channels of the final map."""
        return self.dim

    @property
    def weights(self) -> int:
        """Weights of the blocks' matrices: the measure by which one model is called larger than another."""
        return self.depth * (4 + 2 * self.mlp_ratio) * self.dim * self.dim


@dataclass(frozen=True)
class ConvNeXt:
    """A ConvNeXt: four stages; every stage but the first begins with a 2x2 down-sampling layer.

    A down-sampling layer counts as a block of its own where blocks are numbered (PIIP's interaction positions).
    """

    depths: tuple[int, ...]
    dims: tuple[int, ...]
    patch: int = 4

    @property
    def blocks(self) -> int:
        """Number of blocks that exchanges are placed after, down-sampling layers included."""
        return len(self.stages)

    @property
    def stages(self) -> tuple[int, ...]:
        """The stage of every block, in order; a down-sampling layer belongs to the stage it opens."""
        return tuple(s for s, depth in enumerate(self.depths) for _ in range(depth + (s > 0)))

    def width(self, block: int) -> int:
        """Channels after `block` (from 0)."""
        return self.dims[self.stages[block]]

    def stride(self, block: int) -> int:
        """Input pixels per cell of the map after `block` (from 0)."""
        return self.patch << self.stages[block]

    @property
    def out_dim(self) -> int:
        """Channels of the final map."""
        return self.dims[-1]

    @property
    def weights(self) -> int:
        """Weights of the blocks' matrices: the measure by which one model is called larger than another."""
        return sum(8 * depth * dim * dim for depth, dim in zip(self.depths, self.dims, strict=True))


Model = ViT | ConvNeXt

MODELS: dict[str, Model] = {
    # DeiT, DeiT III, AugReg, MAE, Uni-Perceiver: one structure (the authors' code gives all of them LayerScale).
    "vit_tiny": ViT(12, 192, 3),
    "vit_small": ViT(12, 384, 6),
    "vit_base": ViT(12, 768, 12),
    "vit_large": ViT(24, 1024, 16),
    "vit_huge": ViT(32, 1280, 16),
    "intern_vit_6b": ViT(48, 3200, 25, qkv_bias=False, norm="rms", qk_norm=True),
    "beit_base": ViT(12, 768, 12, position="relative"),
    "beit_large": ViT(24, 1024, 16, position="relative"),
    "clip_base": ViT(12, 768, 12, layer_scale=False, embed_norm=True, activation="quick-gelu", class_token=True),
    "clip_large": ViT(24, 1024, 16, layer_scale=False, embed_norm=True, activation="quick-gelu", class_token=True),
    "convnext_tiny": ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": ConvNeXt((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnext_base": ConvNeXt((3, 3, 27, 3), (128, 256, 512, 1024)),
    "convnext_large": ConvNeXt((3, 3, 27, 3), (192, 384, 768, 1536)),
}
# DINOv2's ViTs differ from the above in the patch they were trained with (14), which is re-sampled to 16 when loaded;
# their structure is that of vit_small/base/large, so they need no name of their own.

# Blocks (from 0) after which the published designs run their exchanges, where they do not follow the rule of
# `positions` (PIIP's configs). Keyed by structure, so that a narrower model of the same depth keeps them, and by the
# number of exchanges.
_PUBLISHED_POSITIONS: dict[tuple[int | tuple[int, ...], int], tuple[int, ...]] = {
    (32, 12): (1, 3, 5, 7, 10, 13, 16, 19, 22, 25, 28, 31),
    ((3, 3, 9, 3), 12): (2, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20),
    ((3, 3, 27, 3), 12): (2, 6, 10, 13, 16, 19, 22, 25, 28, 31, 34, 38),
    ((3, 3, 27, 3), 2): (19, 38),
}


def positions(spec: Model, count: int) -> tuple[int, ...]:
    """Return the blocks (from 0) after which each of `count` exchanges runs; the last block is always the last of them.

    Group k of the blocks ends with block floor(blocks (k + 1) / count) - 1, except where published configs differ.
    """
    structure = spec.depth if isinstance(spec, ViT) else spec.depths
    published = _PUBLISHED_POSITIONS.get((structure, count))
    return published or tuple(spec.blocks * (k + 1) // count - 1 for k in range(count))


_FREE = re.compile(r"(vit|convnext)\[([^\]]*)\]")


@cache
def model(name: str) -> Model:
    """Return the specification behind a branch model's name, catalogued or free.

    Free models are written `vit[depth=12,dim=160,heads=2]` (optionally `patch=8`) and
    `convnext[depths=3-3-9-3,dims=24-48-96-192]` (optionally `patch=2`).

    Raises:
        InputError: the name is unknown, or a free model lacks or misstates a size.
    """
    if name in MODELS:
        return MODELS[name]
    match = _FREE.fullmatch(name)
    if match is None:
        raise InputError(
            f"unknown model '{name}': expected one of {', '.join(MODELS)}, vit[depth=12,dim=160,heads=2] "
            "or convnext[depths=3-3-9-3,dims=24-48-96-192]"
        )
    family, text = match.groups()
    return _free_vit(name, text) if family == "vit" else _free_convnext(name, text)


def canonical_name(name: str) -> str:
    """Return the one spelling of a model: the catalog's name for its structure if there is one.

    Other free models list their sizes in a fixed order without defaults.
    """
    spec = model(name)
    if name in MODELS:
        return name
    for known, structure in MODELS.items():
        if structure == spec:
            return known
    if isinstance(spec, ViT):
        patch = f",patch={spec.patch}" if spec.patch != 16 else ""
        return f"vit[depth={spec.depth},dim={spec.dim},heads={spec.heads}{patch}]"
    patch = f",patch={spec.patch}" if spec.patch != 4 else ""
    return f"convnext[depths={_dashed(spec.depths)},dims={_dashed(spec.dims)}{patch}]"


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


def _free_vit(name: str, text: str) -> ViT:
    sizes = _sizes(name, text, {"depth", "dim", "heads"})
    spec = ViT(**{key: _one(name, key, values) for key, values in sizes.items()})  # type: ignore[arg-type]
    if spec.dim % spec.heads:
        raise InputError(f"'{name}': dim {spec.dim} is not divisible by heads {spec.heads}")
    return spec


def _free_convnext(name: str, text: str) -> ConvNeXt:
    sizes = _sizes(name, text, {"depths", "dims"})
    depths, dims = sizes["depths"], sizes["dims"]
    if len(depths) != 4 or len(dims) != 4:
        raise InputError(f"'{name}': depths and dims need four numbers each, such as 3-3-9-3")
    return ConvNeXt(depths, dims, _one(name, "patch", sizes.get("patch", (4,))))
