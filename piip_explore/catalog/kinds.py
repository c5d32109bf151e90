"""The kinds of branch models: their sizes and structure, and which blocks interactions follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from piip_explore.code_hash import package_hash
from piip_explore.errors import InputError


@dataclass(frozen=True)
class Rotary:
    """Rotary positions of patches (RoPE, arXiv 2104.09864), along both axes of the map, stretched to its size.

    Half of a head's pairs of channels turn with the row, half with the column. With F pairs per axis, pair j of a patch
    at place i of n along the axis turns by (`extent` x (i + `offset`) / n + `origin`) x `base` ^ (-j / F) radians, so a
    patch's angle depends on its place in the image, not on the number of patches. Pairs are channels j and j + half of
    the head (`halves`), or neighbours; the rows' pairs come first unless `columns_first`.
    """

    base: float
    extent: float
    offset: float
    origin: float = 0.0
    halves: bool = False
    columns_first: bool = False


@dataclass(frozen=True)
class ViT:
    """A vision transformer: `depth` pre-norm blocks of width `dim` on a grid of patches.

    `mlp_ratio` is the inner width of the MLP by `dim`; `swiglu` is a gated MLP (arXiv 2002.05202), whose first layer is
    twice as wide. `position` is the kind of learned positions: an absolute embedding added to the patches, or a
    relative bias inside every attention; `rotary` turns queries and keys besides. `embed_norm` is CLIP's LayerNorm
    between the embedding, which has no bias then, and the first block. Models with `class_token` have one in every
    design, the others only where branches keep heads of their own. `registers` are learned tokens (arXiv 2309.16588)
    after the class token. Neither has a position.
    """

    depth: int
    dim: int
    heads: int
    patch: int = 16
    mlp_ratio: float = 4
    qkv_bias: bool = True
    norm: Literal["layer", "rms"] = "layer"
    norm_eps: float = 1e-6
    qk_norm: bool = False
    layer_scale: bool = True
    position: Literal["absolute", "relative", "none"] = "absolute"
    rotary: Rotary | None = None
    embed_norm: bool = False
    activation: Literal["gelu", "gelu-tanh", "quick-gelu", "swiglu"] = "gelu"
    class_token: bool = False
    registers: int = 0

    @property
    def blocks(self) -> int:
        """Number of blocks that interactions are placed after."""
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
    def hidden(self) -> int:
        """Channels between the MLP's two layers."""
        return round(self.mlp_ratio * self.dim)

    @property
    def plain(self) -> ViT:
        """The plain ViT of these sizes."""
        return ViT(self.depth, self.dim, self.heads, self.patch)

    def prefix(self, class_token: bool) -> int:
        """Tokens before the patches, in a branch with a class token or without one."""
        return class_token + self.registers

    @property
    def weights(self) -> int:
        """Weights of the blocks' matrices: the measure by which one model is called larger than another."""
        matrices = 3 if self.activation == "swiglu" else 2
        return self.depth * (4 * self.dim + matrices * self.hidden) * self.dim


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
        """Number of blocks that interactions are placed after, down-sampling layers included."""
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


@dataclass(frozen=True, kw_only=True)
class OwnBranch(ConvNeXt):
    """A branch model that another package offers as an entry point of `piip_explore.branches`.

    It has one stage or four, of blocks of any kind, and no windows. `modules` ("package.module:function") returns its
    stem and its blocks in order, modules that each turn a map (B, C, H, W) into a map; a layer that opens a stage
    halves the map and counts as a block. Costs are traced from these modules, as for every model.
    """

    modules: str

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.dims) or len(self.depths) not in (1, 4):
            raise InputError(f"{self}: expected one stage or four, with a depth and a width each")

    @property
    def plain(self) -> Model:
        """The model of the catalog's kinds that has these sizes."""
        if len(self.depths) > 1:
            return ConvNeXt(self.depths, self.dims, self.patch)
        (dim,) = self.dims
        heads = next(heads for heads in range(max(1, dim // 64), 0, -1) if dim % heads == 0)
        return ViT(self.depths[0], dim, heads, self.patch)

    @property
    def code(self) -> str:
        """A hash of the package that the modules come from."""
        return package_hash(self.modules.partition(":")[0])


Model = ViT | ConvNeXt


def is_pyramid(spec: Model) -> bool:
    """Say whether a model's maps halve from stage to stage."""
    return isinstance(spec, ConvNeXt) and len(spec.depths) > 1


# Blocks (from 0) after which the published designs run their interactions, where they do not follow the rule of
# `positions` (PIIP's configs). Keyed by structure, so that a narrower model of the same depth keeps them, and by the
# number of interactions.
_PUBLISHED_POSITIONS: dict[tuple[int | tuple[int, ...], int], tuple[int, ...]] = {
    (32, 12): (1, 3, 5, 7, 10, 13, 16, 19, 22, 25, 28, 31),
    ((3, 3, 9, 3), 12): (2, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20),
    ((3, 3, 27, 3), 12): (2, 6, 10, 13, 16, 19, 22, 25, 28, 31, 34, 38),
    ((3, 3, 27, 3), 2): (19, 38),
    ((3, 3, 27, 3), 24): (
        *(1, 2, 4, 6, 9, 10, 12, 13, 15, 16, 18, 19),
        *(21, 22, 24, 25, 27, 28, 30, 31, 33, 34, 36, 38),
    ),
}


def positions(spec: Model, count: int) -> tuple[int, ...]:
    """Return the blocks (from 0) after which `count` interactions run; the last one runs after the last block.

    Group k of the blocks ends with block floor(blocks (k + 1) / count) - 1, except where published configs differ.
    """
    structure = spec.depth if isinstance(spec, ViT) else spec.depths
    published = _PUBLISHED_POSITIONS.get((structure, count))
    return published or tuple(spec.blocks * (k + 1) // count - 1 for k in range(count))
