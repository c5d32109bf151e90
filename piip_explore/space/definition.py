"""What the file of a space says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from piip_explore.space.choices import BranchChoices, SettingChoices
from piip_explore.space.constraints import Constraints
from piip_explore.space.tables import Tables, tabulate


@dataclass(frozen=True)
class Definition:
    """A set of designs as it is described: choices of branches and settings, and constraints.

    A design of n branches, for every n of `counts`, has one branch from each of the first n `slots`; the order of the
    branches does not count. Its settings are any combination of `settings` that fits the branches. A design is in the
    space once, however many choices mean it. `task` is what the designs are for, None where the file does not say.
    `docs/spaces.md` describes the YAML form.
    """

    name: str
    slots: tuple[BranchChoices, ...]
    counts: tuple[int, ...]
    settings: SettingChoices = field(default_factory=SettingChoices)
    constraints: Constraints = field(default_factory=Constraints)
    description: str = ""
    task: str | None = None
    proxy: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @cached_property
    def tables(self) -> Tables:
        """The branch options, settings and which of them go together."""
        return tabulate(self.slots, self.counts, self.settings, self.constraints)
