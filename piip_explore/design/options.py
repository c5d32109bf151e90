"""The options of a design besides its branches, one codec for each.

Texts, space files, samplers and tables all spell an option as its codec does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from piip_explore.design.interaction import Interaction
from piip_explore.design.merge import Merge
from piip_explore.errors import InputError

Plain = str | int | float
"""What YAML, JSON and samplers hold."""

Setting = tuple[Interaction | None, Merge]
"""A design without its branches."""

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Option:
    """One option: its name, its default, and how its values are read (from text or YAML) and checked."""

    name: str
    default: Any
    read: Callable[[Any], Any]
    check: Callable[[Any], object]

    def parse(self, given: Any) -> Any:
        """Return the value that a text or a plain value means.

        Raises:
            InputError: the sentence says what was expected.
        """
        value = self.read(given)
        self.check(value)
        return value


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


def values_of(setting: Setting) -> dict[str, Any]:
    """Return the value of every option; without interactions, their options have their defaults."""
    interaction, merge = setting
    values = {name: getattr(interaction or Interaction(), name) for name in _OF_INTERACTION}
    of_merge = {"merge": merge.kind, "out": merge.out, "weighting": merge.weighting}
    return {"interactions": interaction.count if interaction else 0, **values, **of_merge}


def setting_of(values: Mapping[str, Any], branches: int) -> Setting:
    """Return the setting that options give a design of several branches; missing ones have their defaults.

    Raises:
        InputError: a value is out of range, or `out` names a branch that does not exist.
    """
    merge = Merge(
        values.get("merge", Merge.kind), values.get("out", Merge.out), values.get("weighting", Merge.weighting)
    ).among(branches)
    if (count := values.get("interactions", Interaction.count)) == 0:
        return None, merge
    return Interaction(count, **{name: values[name] for name in _OF_INTERACTION if name in values}).among(
        branches
    ), merge


def _quoted(given: Any) -> str:
    return "nothing" if given is None else f"'{given}'"


def _of_interaction(name: str) -> Option:
    default = getattr(Interaction, name)
    read: dict[type, Callable[[Any], Any]] = {bool: flag, int: whole, float: number, str: word}
    return Option(name, default, read[type(default)], lambda value: Interaction(**{name: value}))


_OF_INTERACTION = [field.name for field in fields(Interaction) if field.name != "count"]

OPTIONS = {
    option.name: option
    for option in (
        Option("interactions", Interaction.count, whole, lambda count: count == 0 or Interaction(count)),
        *map(_of_interaction, _OF_INTERACTION),
        Option("merge", Merge.kind, word, Merge),
        Option("out", Merge.out, branch_numbers, lambda _: None),
        Option("weighting", Merge.weighting, word, lambda value: Merge(weighting=value)),
    )
}
"""Every option by its name, in the order of a design's text."""
