"""What holds a study, a journal file or a database, as `StudyStorage` uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from piip_explore.search.storage.leases import Leases
from piip_explore.search.storage.reader.encoding import News
from piip_explore.search.storage.reader.notes import Notes
from piip_explore.search.storage.table import Table

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

T = TypeVar("T")


class Reader(Protocol):
    """A study as columns (see `reader.journal.JournalReader`)."""

    table: Table
    study_id: int | None
    names: list[str]
    ids: list[int]
    numbers: dict[int, int]
    news: News
    notes: Notes


class Medium(Protocol):
    """What holds a study: a journal file or a database."""

    @property
    def reader(self) -> Reader:
        """The study as columns."""

    @property
    def leases(self) -> Leases:
        """Who runs trials of the study."""

    def read(self) -> None:
        """Have the reader take in what is new."""

    def write(self, operation: Callable[[BaseStorage], T]) -> T:
        """Run something on Optuna's storage."""

    def lock(self) -> AbstractContextManager[None]:
        """Return the study's lock."""

    def check_lock(self) -> None:
        """Raise `LockLostError` if the lock is held no more."""

    def busy(self) -> AbstractContextManager[None]:
        """Keep lock and lease while this process computes, however long it takes."""

    def widen(self, choices: Mapping[str, Sequence[Any]]) -> None:
        """Make room for a trial with more choices per parameter than the trials so far."""

    def settle(self) -> None:
        """Make what was written survive the machine's failure."""

    def close(self) -> None:
        """Close the medium."""
