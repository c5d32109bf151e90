"""The text form of a design: read into its parts and printed from them."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from piip_explore.design.branch import Branch
from piip_explore.design.exchange import Interaction, Merge, expect
from piip_explore.errors import InputError

_NUMBER = re.compile(r"[0-9]{1,9}")
_WINDOW = re.compile(r"w([0-9]{1,9})(?:g([0-9]{1,9}))?")


def parse(text: str) -> tuple[tuple[Branch, ...], Interaction | None, Merge]:
    """Read the parts of a design: branches, exchanges and merge.

    Raises:
        InputError: the sentence names the token and what was expected.
    """
    head, *options = text.split(";")
    branches = tuple(_parse_branch(token) for token in head.split())
    if not branches:
        raise InputError(f"no branch in '{text}': expected something like 'vit_base@448:w14'")
    values = _parse_options(options)
    kind, out = values.pop("merge", None), values.pop("out", None)
    if len(branches) == 1:
        if values.pop("count", 0) or values or kind not in (None, "none") or out not in (None, (1,)):
            raise InputError(f"'{branches[0]}' alone is a plain single-branch model: drop everything after ';'")
        return branches, None, Merge("none")
    interaction = None if values.get("count") == 0 else Interaction(**values)
    if interaction is None and len(values) > 1:
        raise InputError("interactions=0 leaves no exchange: drop its other options (attention, heads, ...)")
    return branches, interaction, Merge(kind or "conv", out)


def show(branches: tuple[Branch, ...], interaction: Interaction | None, merge: Merge) -> str:
    """Print the parts of a design; options at their default are left out."""
    parts = [" ".join(map(str, branches))]
    if len(branches) > 1:
        parts += _show_interaction(interaction)
        if merge.kind != Merge().kind:
            parts.append(f"merge={merge.kind}")
        if merge.out is not None:
            parts.append(f"out={','.join(map(str, merge.out))}")
    return "; ".join(parts)


def _parse_branch(token: str) -> Branch:
    model, at, rest = token.partition("@")
    size, colon, window = rest.partition(":")
    if not at or not _NUMBER.fullmatch(size):
        raise InputError(f"branch '{token}': expected model@resolution, such as 'vit_base@448' or 'vit_base@448:w14'")
    if not colon:
        return Branch(model, int(size))
    match = _WINDOW.fullmatch(window)
    if match is None:
        raise InputError(
            f"window ':{window}' of branch '{token}': expected ':wN' or ':wNgK', such as ':w14' or ':w14g3'"
        )
    side, every = match.groups()
    return Branch(model, int(size), int(side), int(every) if every else None)


_FIELDS = {"interactions": "count"}
_OPTIONS = ["interactions", *(f.name for f in fields(Interaction) if f.name != "count"), "merge", "out"]


def _parse_options(items: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if items and not items[-1].strip():
        items = items[:-1]  # a closing ';'
    for item in items:
        key, equals, value = (part.strip() for part in item.partition("="))
        if key not in _OPTIONS or not equals:
            raise InputError(f"option '{item.strip()}': expected key=value with one of {', '.join(_OPTIONS)}")
        name = _FIELDS.get(key, key)
        if name in values:
            raise InputError(f"option '{key}' is given twice")
        values[name] = _parse_value(key, value)
    return values


def _parse_value(key: str, value: str) -> Any:
    if key in ("attention", "direction", "merge"):
        return value
    if key == "project":
        expect("project", value, ("yes", "no"))
        return value == "yes"
    if key == "out":
        if value == "all":
            return None
        numbers = [number.strip() for number in value.split(",")]
        if not all(map(_NUMBER.fullmatch, numbers)):
            raise InputError(f"out={value}: expected 'all' or branch numbers such as 'out=1,3'")
        return tuple(sorted(int(number) for number in numbers))
    if key in ("ratio", "ffn"):
        try:
            return float(value)
        except ValueError:
            raise InputError(f"option '{key}={value}': expected a number") from None
    if not _NUMBER.fullmatch(value.removeprefix("-")):
        raise InputError(f"option '{key}={value}': expected a whole number")
    return int(value)


def _show_interaction(interaction: Interaction | None) -> list[str]:
    if interaction is None:
        return ["interactions=0"]
    texts = []
    for field in fields(Interaction):
        value = getattr(interaction, field.name)
        if value != field.default:
            shown = _show_value(value)
            texts.append(f"{'interactions' if field.name == 'count' else field.name}={shown}")
    return texts


def _show_value(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    # The shortest digits that read back as the same number.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
