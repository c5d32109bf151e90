"""A study in an Optuna journal file: Optuna writes it through a backend of ours, columns read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend

from piip_explore.errors import InputError
from piip_explore.search.storage.journalfile import JournalFile
from piip_explore.search.storage.leases import FileLeases
from piip_explore.search.storage.patience import Patience
from piip_explore.search.storage.reader.journal import JournalReader, no_collection

T = TypeVar("T")


class JournalBackend(BaseJournalBackend):
    """What Optuna's journal storage writes to; it reads the outline of what is there (see `JournalReader.outline`)."""

    def __init__(self, file: JournalFile, reader: JournalReader) -> None:
        self._file, self._reader = file, reader

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the outline of the file, and later what has come since."""
        self._reader.read()
        return self._reader.since_outline() if log_number_from else self._reader.outline()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append operations as one write."""
        self._file.append(b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs))


class JournalMedium:
    """A journal file, as `StudyStorage` uses it; `ServerMedium` has the same methods."""

    def __init__(self, path: Path, study: str, patience: Patience) -> None:
        if path.exists() and not path.is_file():
            raise InputError(f"'{path}' is not a file: expected a study file such as studies/demo.journal")
        self._file = JournalFile(path, patience)
        self.reader = JournalReader(self._file, study)
        self.leases = FileLeases(path)
        self._optuna: BaseStorage | None = None

    def read(self) -> None:
        """Take in what is new; a file that was cut or replaced is another one to Optuna, and to the lease."""
        if self.reader.read():
            self._optuna = None
            self.leases.retake()

    def write(self, operation: Callable[[BaseStorage], T]) -> T:
        """Have Optuna write something."""
        self.read()
        if self._optuna is None:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            with no_collection():
                self._optuna = JournalStorage(JournalBackend(self._file, self.reader))
        return operation(self._optuna)

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock of all who write to the file."""
        return self._file.exclusive()

    def check_lock(self) -> None:
        """Nothing to check: the lock holds until it is given back."""

    def busy(self) -> AbstractContextManager[None]:
        """Nothing to keep: lock and lease hold as long as the process lives."""
        return nullcontext()

    def widen(self, choices: Mapping[str, Sequence[Any]]) -> None:
        """Nothing to do: a journal keeps each trial's own choices."""

    def settle(self) -> None:
        """Wait until everything written so far is on the disk."""
        self._file.settle()

    def close(self) -> None:
        """Bring what was written to the disk."""
        self._file.settle()
