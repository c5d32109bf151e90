"""What may vary in a space: the choices of one branch, and the choices of exchanges and merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product
from typing import Any

from piip_explore import catalog
from piip_explore.design import Attention, Branch, Design, Direction, Interaction, Merge, MergeKind
from piip_explore.errors import InputError

BranchChoice = tuple[str, int, str]
Setting = tuple[Interaction | None, Merge]


@dataclass(frozen=True)
class Slot:
    """The choices of one branch: models, resolutions (pixels) and windows (`none`, `w14`, `w14g3`).

    Windows are for ViT models; a ConvNeXt model has none, whatever the slot lists.
    """

    models: tuple[str, ...]
    resolutions: tuple[int, ...]
    windows: tuple[str, ...] = ("none",)

    @cached_property
    def branches(self) -> dict[Branch, BranchChoice]:
        """Every different branch of the slot, with the first (model, resolution, window) that means it."""
        found: dict[Branch, BranchChoice] = {}
        for choice in product(self.models, self.resolutions, self.windows):
            found.setdefault(branch_of(choice), choice)
        return found


def branch_of(choice: BranchChoice) -> Branch:
    """Return the branch that a (model, resolution, window) means."""
    model, resolution, window = choice
    if window == "none" or isinstance(catalog.model(model), catalog.ConvNeXt):
        return Branch(model, resolution)
    return Design.parse(f"{catalog.canonical_name(model)}@{resolution}:{window}").branches[0]


@dataclass(frozen=True)
class SettingChoices:
    """The choices of every option of a design's text form, under the same names and with the same defaults.

    `interactions` 0 means no exchange. `out` numbers branches from the highest resolution (1) to the lowest; None is
    all of them.
    """

    interactions: tuple[int, ...] = (12,)
    attention: tuple[Attention, ...] = ("deformable",)
    heads: tuple[int, ...] = (16,)
    points: tuple[int, ...] = (4,)
    ratio: tuple[float, ...] = (0.5,)
    ffn: tuple[float, ...] = (0.25,)
    project: tuple[bool, ...] = (True,)
    direction: tuple[Direction, ...] = ("both",)
    merge: tuple[MergeKind, ...] = ("conv",)
    out: tuple[tuple[int, ...] | None, ...] = (None,)

    def combinations(self) -> list[dict[str, Any]]:
        """Return every combination of the choices."""
        names = [field.name for field in fields(self)]
        return [dict(zip(names, values, strict=True)) for values in product(*(getattr(self, name) for name in names))]

    def settings(self, branches: int) -> dict[Setting, dict[str, Any]]:
        """Return every different setting of designs with `branches` branches, with the first combination meaning it."""
        found: dict[Setting, dict[str, Any]] = {}
        for combination in self.combinations():
            setting = setting_of(combination, branches)
            if setting is not None:
                found.setdefault(setting, combination)
        return found


def setting_of(combination: Mapping[str, Any], branches: int) -> Setting | None:
    """Return the exchanges and merge that a combination means, spelled as `Design` spells them.

    None where it names a branch that a design of `branches` branches does not have. One branch alone has neither
    exchanges nor merge.
    """
    if branches == 1:
        return None, Merge("none")
    out = combination["out"]
    if out is not None and max(out) > branches:
        return None
    merge = Merge(combination["merge"], None if out is None or len(out) == branches else out)
    if combination["interactions"] == 0:
        return None, merge
    names = {field.name for field in fields(Interaction)}
    options = {key: value for key, value in combination.items() if key in names}
    if options["direction"] == "all" and branches == 2:
        options["direction"] = "both"
    return Interaction(combination["interactions"], **options), merge


def misfit(setting: Setting, branch: Branch, *, query: bool) -> str | None:
    """Return why a setting does not fit a branch, None if it does. The answer depends on the branch's model alone."""
    interaction, merge = setting
    try:
        if interaction is not None:
            interaction.check(branch, query=query)
        merge.check(interaction, branch)
    except InputError as error:
        return str(error)
    return None
