"""The text form of a design: parsed into its parts, and printed from them."""

from __future__ import annotations

import re
from typing import Any

from piip_explore.design.branch import Branch
from piip_explore.design.merge import Merge
from piip_explore.design.options import OPTIONS, Setting, setting_of, show, values_of
from piip_explore.errors import InputError, expected

_BETWEEN_BRANCHES = re.compile(r"(?:\s|,(?![^\[]*\]))+")
"""Spaces and commas, but not the commas inside the brackets of a free model."""


def parse(form: str) -> tuple[tuple[Branch, ...], Setting]:
    """Read the parts of a design: branches, and interactions and merge.

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
            raise InputError(f"option '{token}' stands among the branches: put a ';' before it, such as '; {token}'")
    branches = tuple(Branch.parse(token) for token in _BETWEEN_BRANCHES.split(head) if token)
    if not branches:
        raise InputError(f"no branch in '{form}': expected something like 'vit_base@448:w14'")
    values = _parse_options(options)
    if len(branches) == 1:
        if any(value not in _NOTHING.get(name, ()) for name, value in values.items()):
            raise InputError(f"'{branches[0]}' alone is a plain single-branch model: drop everything after ';'")
        return branches, (None, Merge("none"))
    if values.get("interactions") == 0 and not values.keys() <= _NOTHING.keys():
        raise InputError("interactions=0 leaves no interaction: drop its other options (attention, heads, ...)")
    return branches, setting_of(values, len(branches))


_NOTHING: dict[str, tuple[Any, ...]] = {
    "interactions": (0,),
    "merge": ("none",),
    "out": (None, (1,)),
    "weighting": ("published",),
}
"""The options that change nothing for one branch alone."""


def write(branches: tuple[Branch, ...], setting: Setting) -> str:
    """Print the parts of a design; options at their default are left out."""
    parts = [" ".join(map(str, branches))]
    if len(branches) > 1:
        values = values_of(setting)
        parts += [f"{name}={show(values[name])}" for name, option in OPTIONS.items() if values[name] != option.default]
    return "; ".join(parts)


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
