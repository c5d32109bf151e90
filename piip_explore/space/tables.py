"""The small tables behind a space: branch options, settings, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from piip_explore.design import Branch, rank
from piip_explore.design.setting import Setting
from piip_explore.space.choices import BranchChoices, SettingChoices, misfit
from piip_explore.space.constraints import Constraints


@dataclass(frozen=True)
class Group:
    """Settings that fit the same branches: every tuple of branches that is allowed goes with every one of them.

    `allowed` is `(branches, options)`: which branch options fit at which place, counted from the highest resolution.
    `settings` are rising codes into `Tables.settings`.
    """

    branches: int
    allowed: npt.NDArray[np.bool_]
    settings: npt.NDArray[np.integer]


@dataclass(frozen=True)
class Tables:
    """`branches` are all branch options in the order of `Design.sorted()`: a design's codes into them never fall.

    `accepts` is `(slots, options)`; `follows` and `reach` are those of `Constraints`. With `ordered`, the first slot
    holds a design's first branch and so on; otherwise a branch may be in any slot that accepts it.
    """

    branches: tuple[Branch, ...]
    settings: tuple[Setting, ...]
    accepts: npt.NDArray[np.bool_]
    ordered: bool
    follows: npt.NDArray[np.bool_]
    reach: npt.NDArray[np.intp]
    groups: tuple[Group, ...]


def tabulate(
    slots: Sequence[BranchChoices], counts: Sequence[int], choices: SettingChoices, constraints: Constraints
) -> Tables:
    """Tabulate a space of designs whose n branches, for every n of `counts`, are those of the first n slots."""
    branches = tuple(sorted({branch for slot in slots for branch in slot.branches}, key=rank))
    settings: dict[Setting, int] = {}
    fits = _Fits(branches)
    groups: list[Group] = []
    for count in counts:
        codes = sorted(settings.setdefault(setting, len(settings)) for setting in choices.settings(count))
        groups += _group(count, codes, tuple(settings), fits)
    return Tables(
        branches=branches,
        settings=tuple(settings),
        accepts=np.array([[branch in slot.branches for branch in branches] for slot in slots]),
        ordered=constraints.decreasing_resolution or len(set(slots)) == 1,
        follows=constraints.follows(branches),
        reach=constraints.reach(branches),
        groups=tuple(groups),
    )


class _Fits:
    """Which branch options a setting fits; asked once per model, because the answer depends on nothing else."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.models = {branch.model: branch for branch in branches}
        number = {model: index for index, model in enumerate(self.models)}
        self.model_of = np.array([number[branch.model] for branch in branches])

    def __call__(self, setting: Setting, *, query: bool) -> npt.NDArray[np.bool_]:
        by_model = [misfit(setting, branch, query=query) is None for branch in self.models.values()]
        return np.take(np.array(by_model, np.bool_), self.model_of)


def _group(count: int, codes: Sequence[int], settings: Sequence[Setting], fits: _Fits) -> list[Group]:
    alike: dict[bytes, tuple[npt.NDArray[np.bool_], list[int]]] = {}
    for code in codes:
        interaction, _ = settings[code]
        queries = {query for _, query in interaction.pairs(count)} if interaction else set()
        roles = [fits(settings[code], query=query) for query in (False, True)]
        allowed = np.array([roles[place in queries] for place in range(count)])
        if allowed.any(axis=1).all():
            alike.setdefault(allowed.tobytes(), (allowed, []))[1].append(code)
    return [Group(count, allowed, np.array(members)) for allowed, members in alike.values()]
