"""A full-scale design to the small one that a proxy trains: every ratio that matters stays.

All resolutions are divided by one factor, all widths by another, patches (and with them windows, in patches) and depths
by a third and a fourth. The published resolutions are multiples of 112, so with a resolution factor of 7 or 14 and
patches of 16 / 2 = 8 every one of them, and windows of 14 and 28, come out exactly; where a size does not, it is
rounded to the nearest that fits (1024 / 7 = 146.3 becomes 144). Where depth is cut, a ConvNeXt's stages become
equally long, so that exchanges stay at their ends. A shrunken branch is a plain free `vit[...]` or
`convnext[...]`: what sets other families apart beside their sizes (RMSNorm, relative positions, ...) is not kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from piip_explore import catalog
from piip_explore.catalog import ConvNeXt, ViT
from piip_explore.design import Branch, Design, Interaction
from piip_explore.errors import InputError

_MIN_HEAD_DIM = 16
_WIDTH_STEP = 4
_MIN_MULTILEVEL_EXCHANGES = 4


@dataclass(frozen=True)
class Shrink:
    """The factors that a design is divided by: `resolution`, `width`, `patch` and `depth`.

    Exchanges are as many per block as before, so their number is divided by `depth` too.
    """

    resolution: int = 7
    width: int = 4
    patch: int = 2
    depth: int = 1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise InputError(f"shrink factor {name}={value}: expected a whole number of at least 1")
        if self.patch not in (1, 2, 4):
            raise InputError(f"shrink factor patch={self.patch}: expected 1, 2 or 4, which patches of 16 and 4 allow")

    @property
    def grid(self) -> float:
        """What a branch's side in patches, and with it its windows, is divided by."""
        return self.resolution / self.patch

    @property
    def keeps_models(self) -> bool:
        """Whether branches keep their models and only their images shrink."""
        return self.width == self.patch == self.depth == 1

    def __call__(self, design: Design) -> Design:
        """Return the shrunken design.

        Raises:
            InputError: nothing that can be built is left of it.
        """
        branches = tuple(self._branch(branch) for branch in design.branches)
        interaction = design.interaction and self._interaction(design, branches, design.interaction)
        return replace(design, branches=branches, interaction=interaction)

    def _branch(self, branch: Branch) -> Branch:
        spec = branch.spec
        model = self._vit(spec) if isinstance(spec, ViT) else self._convnext(spec)
        patch = spec.patch if isinstance(spec, ViT) else 16
        # ConvNeXt branches take the sizes that ViT branches of the same resolution take.
        step = max(1, patch // self.patch)
        smallest = step if isinstance(spec, ViT) else 2 * step
        resolution = max(smallest, _nearest(branch.resolution / self.resolution, step))
        window = branch.window and max(1, round(branch.window / self.grid))
        model = branch.model if self.keeps_models else model
        return Branch(model, resolution, window, branch.global_every if window else None)

    def _vit(self, spec: ViT) -> str:
        dim = _nearest(spec.dim / self.width, _WIDTH_STEP)
        heads = max(h for h in range(1, spec.heads + 1) if dim % h == 0 and (h == 1 or dim // h >= _MIN_HEAD_DIM))
        return f"vit[depth={self._depth(spec.depth)},dim={dim},heads={heads},patch={spec.patch // self.patch}]"

    def _convnext(self, spec: ConvNeXt) -> str:
        depths = "-".join(map(str, spec.depths if self.depth == 1 else self._stages(spec)))
        dims = "-".join(str(_nearest(dim / self.width, _WIDTH_STEP)) for dim in spec.dims)
        return f"convnext[depths={depths},dims={dims},patch={max(1, spec.patch // self.patch)}]"

    def _stages(self, spec: ConvNeXt) -> tuple[int, ...]:
        """Return fewer blocks per stage, the sum divided by `depth` as nearly as equal stages allow.

        The published exchanges, and with them the merged levels, fall on the ends of stages. Four exchanges, which
        twelve become at a third of the depth, do so too only if all stages are equally long, the down-sampling layer
        that opens a stage counted as the block that it is there.
        """
        stages = len(spec.depths)
        length = max(2, round((sum(spec.depths) / self.depth + stages - 1) / stages))
        return (length, *[length - 1] * (stages - 1))

    def _depth(self, depth: int) -> int:
        return max(1, round(depth / self.depth))

    def _interaction(self, design: Design, branches: tuple[Branch, ...], full: Interaction) -> Interaction:
        least = _MIN_MULTILEVEL_EXCHANGES if design.merge.kind == "conv-multilevel" else 1
        count = max(min(least, full.count), round(full.count / self.depth))
        count = min(count, *(branch.spec.blocks for branch in branches))
        widths = {
            full.value_width(branch.spec.width(block))
            for branch in branches
            for block in catalog.positions(branch.spec, count)
        }
        common = math.gcd(*widths)
        wanted = max(1, full.heads // self.width)
        heads = max(h for h in range(1, wanted + 1) if common % h == 0)
        return replace(full, count=count, heads=heads)


def _nearest(value: float, step: int) -> int:
    """Return the multiple of `step`, at least one, nearest to `value`."""
    return max(step, round(value / step) * step)
