"""The setting of a design, all but its branches: interactions, merge, and one codec for each of their options.

Texts, space files, samplers and tables all spell an option as its codec does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from piip_explore import catalog
from piip_explore.design.branch import Branch
from piip_explore.errors import InputError, expected

Attention = Literal["deformable", "regular"]
Direction = Literal["both", "up", "down", "all"]
MergeKind = Literal["conv", "linear", "conv-multilevel", "separate-heads", "none"]
Weighting = Literal["published", "scalar", "channel"]

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


Setting = tuple[Interaction | None, Merge]
"""A design without its branches."""

Plain = str | int | float
"""What YAML, JSON and samplers hold."""

_NUMBER = re.compile(r"[0-9]{1,9}")


def whole(given: Any) -> int:
    """Read a whole number."""
    if isinstance(given, str) and _NUMBER.fullmatch(given.removeprefix("-")):
        return int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        raise InputError(f"expected a whole number, not {_quoted(given)}")
    return given


def number(given: Any) -> float:
    """Read a finite number."""
    try:
        value = float("nan") if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        value = float("nan")
    if not abs(value) < float("inf"):
        raise InputError(f"expected a number, not {_quoted(given)}")
    return value


def flag(given: Any) -> bool:
    """Read yes or no."""
    answer = {"yes": True, "no": False}.get(given, given) if isinstance(given, str) else given
    if not isinstance(answer, bool):
        raise InputError(f"expected yes or no, not {_quoted(given)}")
    return answer


def word(given: Any) -> str:
    """Read a text that is not empty."""
    if not isinstance(given, str) or not given.strip():
        raise InputError(f"expected a text, not {_quoted(given)}")
    return given.strip()


def branch_numbers(given: Any) -> tuple[int, ...] | None:
    """Read `all` (None), or branch numbers from 1 as a text such as `1,3`, a list, or one number."""
    if given == "all":
        return None
    items = given if isinstance(given, list) else str(given).split(",")
    numbers = [str(item).strip() for item in items]
    if not numbers or not all(map(_NUMBER.fullmatch, numbers)):
        raise InputError(f"expected 'all' or branch numbers such as 1,3, not {_quoted(given)}")
    return tuple(sorted(map(int, numbers)))


def plain(value: Any) -> Plain:
    """Return an option's value as a plain one, spelled as in a design's text where it is not a number."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "all"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    assert isinstance(value, Plain)
    return value


def show(value: Any) -> str:
    """Return an option's value as in a design's text: the shortest digits that read back as the same number."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(plain(value))


def _quoted(given: Any) -> str:
    return "nothing" if given is None else f"'{given}'"


_OF_INTERACTION = {"interactions" if field.name == "count" else field.name: field.name for field in fields(Interaction)}
_OF_MERGE = {"merge" if field.name == "kind" else field.name: field.name for field in fields(Merge)}


def values_of(setting: Setting) -> dict[str, Any]:
    """Return the value of every option; without interactions, their options have their defaults."""
    interaction, merge = setting
    of_interaction = {name: getattr(interaction or Interaction(), field) for name, field in _OF_INTERACTION.items()}
    count = {} if interaction else {"interactions": 0}
    return of_interaction | count | {name: getattr(merge, field) for name, field in _OF_MERGE.items()}


def setting_of(values: Mapping[str, Any], branches: int) -> Setting:
    """Return the setting that options give a design of several branches; missing ones have their defaults.

    Raises:
        InputError: a value is out of range, or `out` names a branch that does not exist.
    """
    interaction, merge = _setting(values)
    return interaction and interaction.among(branches), merge.among(branches)


def _setting(values: Mapping[str, Any]) -> Setting:
    merge = Merge(**{field: values[name] for name, field in _OF_MERGE.items() if name in values})
    if values.get("interactions") == 0:
        return None, merge
    return Interaction(**{field: values[name] for name, field in _OF_INTERACTION.items() if name in values}), merge


@dataclass(frozen=True)
class Option:
    """One option: its name, its default, and how its values are read, from text or YAML."""

    name: str
    default: Any
    read: Callable[[Any], Any]

    def parse(self, given: Any) -> Any:
        """Return the value that a text or a plain value means.

        Raises:
            InputError: the sentence says what was expected.
        """
        value = self.read(given)
        _setting({self.name: value})  # checks its range
        return value


_READERS = {bool: flag, int: whole, float: number, str: word, type(None): branch_numbers}

OPTIONS = {
    name: Option(name, default, _READERS[type(default)])
    for name, default in values_of((Interaction(), Merge())).items()
}
"""Every option by its name, in the order of a design's text."""
