"""What a storage of studies does: the contract that the journal and the databases fulfil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from piip_explore.errors import InputError
from piip_explore.search.storage.table import Table
from piip_explore.search.storage.url import StorageURL


class NoSuchStudyError(InputError):
    """The storage, or the study in it, does not exist; `names` are the studies that do, None without a file."""

    def __init__(self, storage: StorageURL, study: str, names: Sequence[str] | None) -> None:
        if names is None:
            super().__init__(f"there is no study file '{storage}': give the storage that the search printed")
        else:
            super().__init__(f"{storage} holds no study '{study}': it holds {', '.join(sorted(names)) or 'none'}")
        self.names = None if names is None else list(names)


@dataclass(frozen=True)
class NewTrial:
    """A trial to create: plain Optuna parameters, user attributes and constraints (feasible at or below 0).

    `choices` are the values that each parameter can take, in order; they make its Optuna distribution.
    """

    params: Mapping[str, Any]
    choices: Mapping[str, Sequence[Any]]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)


class News:
    """Numbers of trials that changed, gathered by every read until they are reported once."""

    def __init__(self) -> None:
        self._changed: set[int] | None = set()

    def gather(self, changed: set[int] | None) -> None:
        """Add what a read has found; None: everything was read anew."""
        self._changed = None if changed is None or self._changed is None else self._changed | changed

    def report(self) -> set[int] | None:
        """Return what was gathered, and begin again."""
        changed, self._changed = self._changed, set()
        return changed


class StudyStorage(Protocol):
    """One study in one storage, live. Trials are named by their number in the study.

    Whoever proposes holds `lock()`, which is exclusive over all processes (and machines, where the storage serves
    several) and frees itself when its holder dies. A search that runs trials holds a lease from `join()` on.
    """

    url: StorageURL
    study: str

    @property
    def table(self) -> Table:
        """The study's trials as they were at the last refresh."""

    def refresh(self) -> set[int] | None:
        """Read what is new into `table`.

        Returns the numbers of the trials that changed since the last refresh, whoever changed them (this object's own
        writes too); None if everything was read anew.
        """

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock under which trials are proposed, claimed and reclaimed."""

    def set_study_attribute(self, name: str, value: Any) -> None:
        """Set a user attribute of the study."""

    def name_values(self, names: Sequence[str]) -> None:
        """Tell Optuna the names of the objectives."""

    def create(self, trial: NewTrial, state: int) -> int:
        """Create a RUNNING or WAITING trial and return its number. Hold the lock."""

    def claim(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Turn a WAITING trial into a RUNNING one with `attributes`. Hold the lock."""

    def release(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Turn a RUNNING trial back into a WAITING one with `attributes`."""

    def finish(
        self,
        number: int,
        state: int,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        constraints: Mapping[str, float],
    ) -> None:
        """Write a RUNNING trial's end: its attributes and constraints, then COMPLETE, PRUNED or FAIL with values."""

    def settle(self) -> None:
        """Make every result written so far survive the machine's failure too."""

    def join(self, lease: str) -> None:
        """Take the lease named `lease` for this process."""

    def beat(self) -> None:
        """Renew the lease; call it every few seconds."""

    def alive(self, lease: str) -> bool:
        """Return whether the lease `lease` is held."""

    def leave(self) -> None:
        """Give the lease back and close the storage."""
