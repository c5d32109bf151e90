"""What may vary in a space: the choices of one branch, and the choices of interactions and merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product
from typing import Any

from piip_explore import catalog
from piip_explore.design import (
    NO_WINDOW,
    Attention,
    Branch,
    Direction,
    Interaction,
    Merge,
    MergeKind,
    Weighting,
    parse_window,
)
from piip_explore.design import setting as settings
from piip_explore.design.setting import Setting
from piip_explore.errors import InputError


@dataclass(frozen=True)
class BranchChoices:
    """The choices of one branch: models, resolutions (pixels) and windows (`none`, `w14`, `w14g3`).

    Windows are for ViT models; a ConvNeXt model has none, whatever the slot lists.
    """

    models: tuple[str, ...]
    resolutions: tuple[int, ...]
    windows: tuple[str, ...] = (NO_WINDOW,)

    @cached_property
    def branches(self) -> frozenset[Branch]:
        """Every different branch of the slot."""
        return frozenset(branch_of(*choice) for choice in product(self.models, self.resolutions, self.windows))


def branch_of(model: str, resolution: int, window: str = NO_WINDOW) -> Branch:
    """Return the branch that a choice means."""
    if isinstance(catalog.model(model), catalog.ConvNeXt):
        return Branch(model, resolution)
    return Branch(model, resolution, *parse_window(window))


@dataclass(frozen=True)
class SettingChoices:
    """The choices of every option of a design's text form, under the same names and with the same defaults.

    `interactions` 0 means no interaction. `out` numbers branches from the highest resolution (1) to the lowest; None is
    all of them.
    """

    interactions: tuple[int, ...] = (Interaction.count,)
    attention: tuple[Attention, ...] = (Interaction.attention,)
    heads: tuple[int, ...] = (Interaction.heads,)
    points: tuple[int, ...] = (Interaction.points,)
    ratio: tuple[float, ...] = (Interaction.ratio,)
    ffn: tuple[float, ...] = (Interaction.ffn,)
    project: tuple[bool, ...] = (Interaction.project,)
    direction: tuple[Direction, ...] = (Interaction.direction,)
    merge: tuple[MergeKind, ...] = (Merge.kind,)
    out: tuple[tuple[int, ...] | None, ...] = (Merge.out,)
    weighting: tuple[Weighting, ...] = (Merge.weighting,)

    def combinations(self) -> list[dict[str, Any]]:
        """Return every combination of the choices."""
        names = [field.name for field in fields(self)]
        return [dict(zip(names, values, strict=True)) for values in product(*(getattr(self, name) for name in names))]

    def settings(self, branches: int) -> list[Setting]:
        """Return every different setting of designs with `branches` branches."""
        found = (setting_of(combination, branches) for combination in self.combinations())
        return list(dict.fromkeys(setting for setting in found if setting is not None))


def setting_of(combination: Mapping[str, Any], branches: int) -> Setting | None:
    """Return the interactions and merge that a combination means in a design of `branches` branches.

    None where it names a branch that such a design does not have. One branch alone has neither interactions nor merge.
    """
    if branches == 1:
        return None, Merge("none")
    if combination["out"] is not None and max(combination["out"]) > branches:
        return None
    return settings.setting_of(combination, branches)


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
