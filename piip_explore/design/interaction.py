"""The interactions between branches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from piip_explore import catalog
from piip_explore.design.branch import Branch
from piip_explore.errors import InputError, expected

Attention = Literal["deformable", "regular"]
Direction = Literal["both", "up", "down", "all"]

_MOST = 9999
"""Upper bound of the counts below: far above any use, and small enough to keep every cost finite."""


@dataclass(frozen=True)
class Interaction:
    """The interactions between branches: how many, by which attention, and in which directions.

    `ratio` is the width of the deformable attention's values over the query width, `ffn` the hidden width of the
    interaction's feed-forward network over the query width; `project=False` drops the projection and all three norms.
    `direction`: `both` ways between adjacent branches, `up` (the low resolution informs the high), `down`, or `all`
    (both ways between every two branches). Regular attention has no points and keeps the full width, so it resets
    `points` and `ratio` to their defaults.
    """

    count: int = 12
    attention: Attention = "deformable"
    heads: int = 16
    points: int = 4
    ratio: float = 0.5
    ffn: float = 0.25
    project: bool = True
    direction: Direction = "both"

    def __post_init__(self) -> None:
        for name, value in (("interactions", self.count), ("heads", self.heads), ("points", self.points)):
            if not 1 <= value <= _MOST:
                raise InputError(f"{name} {value}: expected a whole number from 1 to {_MOST}")
        for name in ("ratio", "ffn"):
            if not 0 < getattr(self, name) <= 16:
                raise InputError(f"{name} {getattr(self, name):g}: expected a number above 0 and up to 16")
        for name, allowed in (("attention", get_args(Attention)), ("direction", get_args(Direction))):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} '{getattr(self, name)}': {expected(getattr(self, name), allowed)}")
        if self.attention == "regular":
            object.__setattr__(self, "points", type(self).points)
            object.__setattr__(self, "ratio", type(self).ratio)

    def among(self, branches: int) -> Interaction:
        """Return the canonical spelling for this many branches: two form one pair, so `all` becomes `both`."""
        return replace(self, direction="both") if self.direction == "all" and branches == 2 else self

    def value_width(self, query_width: int) -> int:
        """Width of the values that a query branch of `query_width` channels attends to."""
        return int(query_width * self.ratio) if self.attention == "deformable" else query_width

    def pairs(self, branches: int) -> tuple[tuple[int, int], ...]:
        """All (from, to) directions between `branches` branches, numbered from 0 at the highest resolution.

        Pairs run from the highest resolution to the lowest (docs/architecture.md, point 4).
        """
        reach = branches if self.direction == "all" else 2
        pairs = [(high, low) for high in range(branches) for low in range(high + 1, min(high + reach, branches))]
        up, down = self.direction != "down", self.direction != "up"
        return tuple(pair for high, low in pairs for pair, wanted in (((high, low), down), ((low, high), up)) if wanted)

    def check(self, branch: Branch, *, query: bool) -> None:
        """Check that the interactions fit a branch; `query`: they write to the branch too.

        Raises:
            InputError: too few blocks, or an attention width that the heads do not divide.
        """
        spec = branch.spec
        if self.count > spec.blocks:
            raise InputError(f"interactions={self.count}: '{branch}' has only {spec.blocks} blocks to follow")
        if not query:
            return
        for channels in {spec.width(block): None for block in catalog.positions(spec, self.count)}:
            width = self.value_width(channels)
            if width == 0:
                raise InputError(f"ratio={self.ratio:g} leaves no attention channel in '{branch}'")
            if width % self.heads:
                raise InputError(
                    f"heads={self.heads} does not divide the attention width {width} of '{branch}' "
                    f"({channels} channels): choose a divisor of {width}"
                )
            if int(channels * self.ffn) == 0:
                raise InputError(f"ffn={self.ffn:g} leaves no hidden channel in '{branch}'")
