"""Design: one architecture, as a frozen value, and its text form."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

from piip_explore.design import drawing
from piip_explore.design.branch import Branch, rank
from piip_explore.design.setting import OPTIONS, Interaction, Merge, setting_of, show, values_of
from piip_explore.errors import InputError, expected

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
        head, *options = form.split(";")
        if name := _PAPER_NAME.fullmatch(head.strip()):
            raise InputError(
                f"'{name[0]}' names models without their resolutions: did you mean '{_with_resolutions(name[1])}'?"
            )
        for token in head.split():
            if token.partition("=")[0] in OPTIONS:
                raise InputError(
                    f"option '{token}' stands among the branches: put a ';' before it, such as '; {token}'"
                )
        branches = tuple(Branch.parse(token) for token in _BETWEEN_BRANCHES.split(head) if token)
        if not branches:
            raise InputError(f"no branch in '{form}': expected something like 'vit_base@448:w14'")
        values = _parse_options(options)
        if len(branches) == 1:
            if any(value not in _NOTHING.get(name, ()) for name, value in values.items()):
                raise InputError(f"'{branches[0]}' alone is a plain single-branch model: drop everything after ';'")
            return cls(branches)
        if values.get("interactions") == 0 and not values.keys() <= _NOTHING.keys():
            raise InputError("interactions=0 leaves no interaction: drop its other options (attention, heads, ...)")
        return cls(branches, *setting_of(values, len(branches)))

    def _repr_svg_(self) -> str:
        """Return the architecture as SVG, which notebooks show."""
        return drawing.svg(self)

    def __str__(self) -> str:
        parts = [" ".join(map(str, self.branches))]
        if len(self.branches) > 1:
            values = values_of((self.interaction, self.merge))
            changed = [name for name, option in OPTIONS.items() if values[name] != option.default]
            parts += [f"{name}={show(values[name])}" for name in changed]
        return "; ".join(parts)


_BETWEEN_BRANCHES = re.compile(r"(?:\s|,(?![^\[]*\]))+")
"""Spaces and commas, but not the commas inside the brackets of a free model."""


_NOTHING: dict[str, tuple[Any, ...]] = {
    "interactions": (0,),
    "merge": ("none",),
    "out": (None, (1,)),
    "weighting": ("published",),
}
"""The options that change nothing for one branch alone."""

_PAPER_NAME = re.compile(r"PIIP-((?:[TSBLH]|6B)+)", re.IGNORECASE)
_LETTERS = {"T": "tiny", "S": "small", "B": "base", "L": "large", "H": "huge"}
_RESOLUTIONS = (448, 896, 1120, 1344, 1568, 1792)
"""Pixels of the largest model, the next, and so on; the first three are those of the papers' PIIP-TSB."""


def _with_resolutions(letters: str) -> str:
    """Return a design of the models that a paper's name stands for, such as `TSB`."""
    models = ["intern_vit_6b" if one == "6B" else f"vit_{_LETTERS[one]}" for one in re.findall("6B|.", letters.upper())]
    resolutions = [*_RESOLUTIONS, *[_RESOLUTIONS[-1]] * len(models)][: len(models)]
    return " ".join(f"{model}@{size}" for model, size in zip(models, reversed(resolutions), strict=True))


def _parse_options(items: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if items and not items[-1].strip():
        items = items[:-1]  # a closing ';'
    for item in items:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise InputError(f"option '{item.strip()}': expected key=value with one of {', '.join(OPTIONS)}")
        if key in ("in_channels", "in_chans", "channels"):
            raise InputError(f"option '{key}': images have channels, designs do not: call build(design, in_channels=N)")
        if key not in OPTIONS:
            raise InputError(f"option '{item.strip()}': {expected(key, OPTIONS)}")
        if key in values:
            raise InputError(f"option '{key}' is given twice")
        try:
            values[key] = OPTIONS[key].read(value)
        except InputError as error:
            raise InputError(f"option '{key}={value}': {error}") from None
    return values
