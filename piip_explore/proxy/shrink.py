"""From a full-scale design to the small one that a proxy trains: every ratio that matters is kept.

All resolutions are divided by one factor, all widths by another, patches (and with them windows, in patches) and depths
by a third and a fourth. Interactions keep their kind, their direction and, as far as there are enough blocks, their
number. The published resolutions are multiples of 112, so with a resolution factor of 7 or 14 and patches of 16 / 2 = 8
every one of them, and windows of 14 and 28, come out exactly; other sizes, and those of patches of 14, are rounded to
the nearest that fits (1024 / 7 = 146.3 becomes 144). A shrunken ViT with registers, rotary positions or a gated MLP
keeps its structure, such as `dinov3_tiny[...]`. Every other branch becomes a plain free `vit[...]` or `convnext[...]`:
what sets these families apart beside their sizes (RMSNorm, relative positions, ...) is not kept. Where depth is cut, a
ConvNeXt's stages become equally long, which keeps the four interactions that merged levels need at the ends of stages.
`Shrink.lost` says what a design loses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from piip_explore.catalog import ConvNeXt, Model, OwnBranch, ViT, free_name
from piip_explore.design import Branch, Design, Interaction
from piip_explore.errors import InputError

_MIN_HEAD_DIM = 16
_WIDTH_STEP = 4
_MULTILEVEL_INTERACTIONS = 4


@dataclass(frozen=True)
class Shrink:
    """The factors that a design is divided by: `resolution`, `width`, `patch` and `depth`."""

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

    def lost(self, design: Design) -> tuple[str, ...]:
        """Return a sentence for every difference from other designs that the shrunken one does not keep."""
        small = self(design)
        lost = []
        for full, branch in zip(design.branches, small.branches, strict=True):
            trained = branch.resolution * self.resolution
            if trained != full.resolution:
                lost.append(f"'{full}' is trained as at {trained} pixels")
            if full.window and branch.window and branch.window * self.grid != full.window:
                lost.append(f"'{full}' is trained as with windows of {branch.window * self.grid:g}")
            if branch.spec.out_dim * self.width != full.spec.out_dim:
                lost.append(f"'{full.model}' is trained as if {branch.spec.out_dim * self.width} wide")
            if not self.keeps_models and full.spec != _structure(full.spec):
                kind = "ViT" if isinstance(_structure(full.spec), ViT) else "ConvNeXt"
                lost.append(f"'{full.model}' is trained as a plain {kind}")
        if design.interaction and small.interaction:
            if small.interaction.count != design.interaction.count:
                lost.append(f"interactions={design.interaction.count} is trained as {small.interaction.count}")
            if small.interaction.heads * self.width != design.interaction.heads and not self.keeps_models:
                lost.append(f"heads={design.interaction.heads} is trained as {small.interaction.heads * self.width}")
        return tuple(dict.fromkeys(lost))

    def _branch(self, branch: Branch) -> Branch:
        spec = _sized(branch.spec)
        model = self._vit(spec) if isinstance(spec, ViT) else self._convnext(spec)
        patch = spec.patch if isinstance(spec, ViT) else 16
        # ConvNeXt branches take the sizes that ViT branches of the same resolution take.
        step = max(1, round(patch / self.patch))
        smallest = step if isinstance(spec, ViT) else 2 * step
        resolution = max(smallest, _nearest(branch.resolution / self.resolution, step))
        window = branch.window and max(1, round(branch.window / self.grid))
        model = branch.model if self.keeps_models else model
        return Branch(model, resolution, window, branch.global_every if window else None)

    def _vit(self, spec: ViT) -> str:
        dim = _nearest(spec.dim / self.width, _WIDTH_STEP)
        step = 4 if spec.rotary else 1  # two axes turn pairs of channels
        fitting = [h for h in range(1, spec.heads + 1) if dim % (h * step) == 0]
        heads = max(h for h in fitting if h == 1 or dim // h >= _MIN_HEAD_DIM)
        patch = max(1, round(spec.patch / self.patch))
        return free_name(replace(_of_vit(spec), depth=self._depth(spec.depth), dim=dim, heads=heads, patch=patch))

    def _convnext(self, spec: ConvNeXt) -> str:
        depths = spec.depths if self.depth == 1 else self._stages(spec)
        dims = tuple(_nearest(dim / self.width, _WIDTH_STEP) for dim in spec.dims)
        return free_name(ConvNeXt(depths, dims, max(1, spec.patch // self.patch)))

    def _stages(self, spec: ConvNeXt) -> tuple[int, ...]:
        """Return fewer blocks per stage, the sum divided by `depth` as nearly as equal stages allow.

        The published interactions, and with them the merged levels, fall on the ends of stages. Four interactions,
        which twelve become at a third of the depth, do so too only if all stages are equally long, counting the
        down-sampling layer that opens a stage as a block.
        """
        stages = len(spec.depths)
        length = max(2, round((sum(spec.depths) / self.depth + stages - 1) / stages))
        return (length, *[length - 1] * (stages - 1))

    def _depth(self, depth: int) -> int:
        return max(1, round(depth / self.depth))

    def _interaction(self, design: Design, branches: tuple[Branch, ...], full: Interaction) -> Interaction:
        count = full.count
        if design.merge.kind == "conv-multilevel" and self.depth > 1:  # levels are merged at the ends of stages
            count = max(_MULTILEVEL_INTERACTIONS, round(full.count / self.depth))
        count = min(count, *(branch.spec.blocks for branch in branches))
        widths = {
            full.value_width(branch.spec.width(block)) for branch in branches for block in range(branch.spec.blocks)
        }
        common = math.gcd(*widths)
        wanted = max(1, full.heads // self.width)
        heads = max(h for h in range(1, wanted + 1) if common % h == 0)
        return replace(full, count=count, heads=heads)


def _sized(spec: Model) -> Model:
    """Return the model of the catalog's kinds that has a model's sizes."""
    return spec.plain if isinstance(spec, OwnBranch) else spec


def _structure(spec: Model) -> Model:
    """Return the model of the same sizes that is trained in place of a model."""
    spec = _sized(spec)
    return _of_vit(spec) if isinstance(spec, ViT) else spec


def _of_vit(spec: ViT) -> ViT:
    return spec if spec.registers or spec.rotary or spec.activation == "swiglu" else spec.plain


def _nearest(value: float, step: int) -> int:
    """Return the multiple of `step`, at least one, nearest to `value`."""
    return max(step, round(value / step) * step)
