"""Branches whose blocks take and return maps: ConvNeXt, and models of other packages."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from piip_explore import plugins
from piip_explore.catalog import OwnBranch
from piip_explore.errors import InputError
from piip_explore.models.attention import Grid
from piip_explore.models.layers import to_map, to_tokens


class MapBranch(nn.Module):
    """A stem and layers on maps (B, C, H, W); no final norm and no head.

    Between groups of blocks the map is passed on as tokens (B, H*W, C), like a ViT's.
    """

    prefix = 0
    in_channels = 3
    checkpointing: bool
    stem: nn.Module

    def layers(self) -> list[nn.Module]:
        """Return all that counts as a block, in order: down-sampling layers and blocks."""
        raise NotImplementedError

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Run the stem on images (B, C, H, W); return tokens (B, positions, channels) and the map's grid."""
        x = self.stem(images)
        return to_tokens(x), (x.shape[2], x.shape[3])

    def run(self, x: Tensor, grid: Grid, start: int, stop: int) -> tuple[Tensor, Grid]:
        """Run layers `start` to `stop` - 1 on tokens (B, H*W, C); return tokens and grid."""
        x = to_map(x, grid)
        for layer in self.layers()[start:stop]:
            x = checkpoint(layer, x, use_reentrant=False) if self.checkpointing and self.training else layer(x)
        return to_tokens(x), (x.shape[2], x.shape[3])


class OwnBranchModule(MapBranch):
    """A branch of another package's modules.

    Raises:
        InputError: they cannot be made, or their number is not that of the model's blocks.
    """

    def __init__(self, spec: OwnBranch, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        try:
            self.stem, blocks = plugins.imported(spec.modules)()
            self.blocks = nn.ModuleList(blocks)
        except InputError:
            raise
        except Exception as error:  # it may raise anything
            raise InputError(f"'{spec.modules}': {type(error).__name__}: {error}") from None
        if len(self.blocks) != spec.blocks:
            raise InputError(
                f"'{spec.modules}' returns {len(self.blocks)} blocks: expected {spec.blocks}, counting the layers that "
                "open stages"
            )

    def layers(self) -> list[nn.Module]:
        """Return the blocks."""
        return list(self.blocks)

    def check(self, spec: OwnBranch, images: Tensor) -> None:
        """Run images whose size halves without remainder, and compare every map with `spec`.

        Raises:
            InputError: a block's width or stride differs.
        """
        x = self.stem(images)
        for number, block in enumerate(self.blocks):
            try:
                x = block(x)
            except Exception as error:  # it may raise anything
                raise InputError(f"'{spec.modules}': block {number}: {error}") from None
            found, wanted = tuple(x.shape[1:]), (spec.width(number), *[images.shape[2] // spec.stride(number)] * 2)
            if found != wanted:
                raise InputError(f"'{spec.modules}': block {number} gives a map of {found}, expected {wanted}")
