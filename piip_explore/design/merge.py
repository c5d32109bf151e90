"""The merge of the branches' last maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from piip_explore import catalog
from piip_explore.design.branch import Branch
from piip_explore.design.interaction import Interaction
from piip_explore.errors import InputError, expected

MergeKind = Literal["conv", "linear", "conv-multilevel", "separate-heads", "none"]
Weighting = Literal["published", "scalar", "channel"]


@dataclass(frozen=True)
class Merge:
    """How the branches' last maps become the output.

    `out` are the numbers of the branches that feed it (from 1, in text order), None for all of them. `weighting` weighs
    the branches in the sum: as `published`, by a learned scalar for maps and equally for separate heads; by a learned
    `scalar`; or by a learned weight per `channel` (per class for separate heads). It is reset to `published` without a
    merge, and for maps with a `scalar`, which is what is published.
    """

    kind: MergeKind = "conv"
    out: tuple[int, ...] | None = None
    weighting: Weighting = "published"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("merge", self.kind, get_args(MergeKind)),
            ("weighting", self.weighting, get_args(Weighting)),
        ):
            if value not in allowed:
                raise InputError(f"{name} '{value}': {expected(value, allowed)}")
        if self.kind == "none" or (self.weighting == "scalar" and self.kind != "separate-heads"):
            object.__setattr__(self, "weighting", type(self).weighting)

    def among(self, branches: int) -> Merge:
        """Return the canonical spelling for this many branches: an `out` that names them all becomes None.

        Raises:
            InputError: `out` names a branch that does not exist, or is not in rising order.
        """
        if self.out is None:
            return self
        if sorted(set(self.out)) != list(self.out) or not set(self.out) <= set(range(1, branches + 1)) or not self.out:
            numbers = ",".join(map(str, self.out))
            raise InputError(f"out={numbers}: expected different branch numbers from 1 to {branches} in rising order")
        return replace(self, out=None) if len(self.out) == branches else self

    def levels(self, interaction: Interaction | None) -> tuple[int, ...]:
        """Interactions (from 0) after which maps are merged, in addition to the final maps.

        Published designs with twelve interactions merge after 0, 1 and 10, where the first three stages of a ConvNeXt
        end. With another number it is the first two and the last but one.
        """
        if self.kind != "conv-multilevel" or interaction is None:
            return ()
        return (0, 1, interaction.count - 2)

    def has_pyramid(self, reference: catalog.Model) -> bool:
        """Say whether merged maps are up- and down-sampled; a CNN's stages, as `reference`, are a pyramid already."""
        return self.kind == "conv" or (self.kind == "conv-multilevel" and not catalog.is_pyramid(reference))

    def check(self, interaction: Interaction | None, branch: Branch) -> None:
        """Check that the merge fits the interactions and a branch.

        Raises:
            InputError: too few interactions to merge after, or a branch without the tokens that the merge reads.
        """
        if self.kind == "conv-multilevel" and (interaction is None or interaction.count < 4):
            raise InputError("merge=conv-multilevel merges after interactions too: it needs interactions=4 or more")
        if self.kind == "separate-heads" and isinstance(branch.spec, catalog.ConvNeXt):
            raise InputError("merge=separate-heads reads tokens of ViT branches: it takes no ConvNeXt branch")
