"""Design: one architecture, as a frozen value."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from piip_explore.design import drawing, text
from piip_explore.design.branch import Branch, rank
from piip_explore.design.interaction import Interaction
from piip_explore.design.merge import Merge
from piip_explore.errors import InputError

_NO_MERGE = Merge("none")


@dataclass(frozen=True)
class Design:
    """One architecture: branches in text order, interactions (None: there are none) and merge.

    Raises:
        InputError: the parts do not fit together; the sentence names the part.
    """

    branches: tuple[Branch, ...]
    interaction: Interaction | None = None
    merge: Merge = _NO_MERGE

    def __post_init__(self) -> None:
        if not self.branches:
            raise InputError("a design needs at least one branch, such as 'vit_base@448'")
        object.__setattr__(self, "merge", self.merge.among(len(self.branches)))
        if len(self.branches) == 1:
            if self.interaction is not None or self.merge.kind != "none":
                raise InputError(
                    f"'{self.branches[0]}' alone is a plain single-branch model: it takes no interactions and no merge"
                )
            return
        if self.interaction is not None:
            object.__setattr__(self, "interaction", self.interaction.among(len(self.branches)))
            queries = {query for _, query in self.directed_pairs}
            for index, branch in enumerate(self.branches):
                self.interaction.check(branch, query=index in queries)
        for branch in self.branches:
            self.merge.check(self.interaction, branch)

    @property
    def order(self) -> tuple[int, ...]:
        """Indices of the branches from the highest resolution to the lowest; at equal resolution the wider is last."""
        return tuple(sorted(range(len(self.branches)), key=lambda i: rank(self.branches[i])))

    @property
    def resolution(self) -> int:
        """The largest branch's resolution, the size of the input image (pixels)."""
        return max(branch.resolution for branch in self.branches)

    @property
    def out(self) -> tuple[int, ...]:
        """Indices (from 0, text order) of the branches that feed the merge."""
        if self.merge.out is None:
            return tuple(range(len(self.branches)))
        return tuple(number - 1 for number in self.merge.out)

    @property
    def directed_pairs(self) -> tuple[tuple[int, int], ...]:
        """All (from, to) directions of one interaction as branch indices, in running order.

        Pairs run from the highest resolution to the lowest (docs/architecture.md, point 4).
        """
        if self.interaction is None:
            return ()
        order = self.order
        return tuple((order[source], order[query]) for source, query in self.interaction.pairs(len(order)))

    def sorted(self) -> Design:
        """Return the same design with its branches from the highest resolution to the lowest."""
        place = {index: rank for rank, index in enumerate(self.order)}
        out = self.merge.out and tuple(sorted(place[number - 1] + 1 for number in self.merge.out))
        branches = tuple(self.branches[index] for index in self.order)
        return replace(self, branches=branches, merge=replace(self.merge, out=out))

    @property
    def id(self) -> str:
        """A stable name of twelve hexadecimal digits; the order of the branches does not change it."""
        return hashlib.sha256(str(self.sorted()).encode()).hexdigest()[:12]

    @classmethod
    def parse(cls, form: str) -> Design:
        """Parse the text form.

        Raises:
            InputError: the sentence names the token and what was expected.
        """
        branches, setting = text.parse(form)
        return cls(branches, *setting)

    def _repr_svg_(self) -> str:
        """Return the architecture as SVG, which notebooks show."""
        return drawing.svg(self)

    def __str__(self) -> str:
        return text.write(self.branches, (self.interaction, self.merge))
