"""Studies in an Optuna journal file, read and written as lines.

A journal is a file of JSON lines, one operation each, that any Optuna program replays. Replaying 100,000 trials into
Optuna's objects takes ten times as long as reading them into columns, so this module reads and writes the lines
itself (`lines` is the file under it, `replay` what operations mean); the contract tests hold it to what
`optuna.storages.JournalStorage` makes of the same file.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

from piip_explore.errors import InputError
from piip_explore.search.storage.base import News, NewTrial, NoSuchStudyError
from piip_explore.search.storage.lines import JournalFile
from piip_explore.search.storage.locks import FileLeases, exclusive
from piip_explore.search.storage.replay import CONSTRAINT, METRIC_NAMES, Replay, categorical
from piip_explore.search.storage.replay import Operation as Op
from piip_explore.search.storage.table import RUNNING, WAITING, Table
from piip_explore.search.storage.url import StorageURL


class JournalStorage:
    """A study in a journal file (see `StudyStorage`). `directions` creates the study if the file lacks it.

    Raises:
        InputError: no such file or study (without `directions`), or a file that is no journal; it stays untouched.
    """

    def __init__(self, url: StorageURL, study: str, directions: Sequence[str] | None = None) -> None:
        path = url.path
        assert path is not None
        if not path.is_file():
            if path.exists():
                raise InputError(f"'{path}' is not a file: expected a study file such as studies/demo.journal")
            if directions is None:
                raise NoSuchStudyError(url, study, None)
        self.url, self.study = url, study
        self._file = JournalFile(path)
        self._leases = FileLeases(self._file.files)
        self._writer = f"{os.getpid()}-{time.time_ns():x}"
        self._news = News()
        self._replay = Replay(study)
        self._found = False
        self._sync()
        if self._replay.study_id is None:
            if directions is None:
                raise NoSuchStudyError(url, study, list(self._replay.studies))
            self._create(directions)
        self._found = True

    @property
    def table(self) -> Table:
        """The study's trials as they were at the last refresh."""
        return self._replay.table

    def _create(self, directions: Sequence[str]) -> None:
        with self.lock():
            self._sync()
            if self._replay.study_id is None:
                codes = [{"minimize": 1, "maximize": 2}[direction] for direction in directions]
                self._append({"op_code": Op.CREATE_STUDY, "study_name": self.study, "directions": codes})
                self._sync()

    # --- reading -------------------------------------------------------------------------------------------------

    def refresh(self) -> set[int] | None:
        """Return what changed since the last refresh; None means that the file was cut or replaced and read anew."""
        self._sync()
        return self._news.report()

    def _sync(self) -> None:
        """Take in the lines that are new."""
        changed: set[int] = set()
        with self._file.news() as (anew, operations), _no_collection():
            if anew:
                self._replay = Replay(self.study)
            apply = self._replay.apply
            for operation in operations:
                try:
                    number = apply(operation)
                except (ValueError, LookupError, TypeError, AttributeError) as error:
                    raise self._file.unreadable(self._file.line) from error
                if number is not None:
                    changed.add(number)
        if self._found and self._replay.study_id is None:
            raise InputError(f"study '{self.study}' in {self.url} was deleted")
        self._news.gather(None if anew else changed)

    # --- writing -------------------------------------------------------------------------------------------------

    def _append(self, *operations: Mapping[str, Any]) -> None:
        """Append operations as one write."""
        lines = [{**operation, "worker_id": self._writer} for operation in operations]
        self._file.append(b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines))

    def settle(self) -> None:
        """Wait until every result written so far is on the disk: one wait for all that came in together."""
        self._file.settle()

    def set_study_attribute(self, name: str, value: Any) -> None:
        """Set a user attribute of the study."""
        self._append({"op_code": Op.STUDY_USER_ATTR, "study_id": self._replay.study_id, "user_attr": {name: value}})
        self._sync()

    def name_values(self, names: Sequence[str]) -> None:
        """Tell Optuna the names of the objectives."""
        attribute = {METRIC_NAMES: list(names)}
        self._append({"op_code": Op.STUDY_SYSTEM_ATTR, "study_id": self._replay.study_id, "system_attr": attribute})
        self._sync()

    def create(self, trial: NewTrial, state: int) -> int:
        """Create a trial; everything known about it goes into one line."""
        self._sync()
        self._append(
            {
                "op_code": Op.CREATE_TRIAL,
                "study_id": self._replay.study_id,
                "datetime_start": _now() if state == RUNNING else None,
                "state": state,
                "value": None,
                "values": None,
                "distributions": {name: categorical(choices) for name, choices in trial.choices.items()},
                "params": {name: list(trial.choices[name]).index(value) for name, value in trial.params.items()},
                "user_attrs": dict(trial.attributes),
                "system_attrs": {CONSTRAINT + name: value for name, value in trial.constraints.items()},
                "intermediate_values": {},
            }
        )
        self._sync()
        return self._replay.created_by[self._writer]

    def claim(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Turn a WAITING trial into a RUNNING one."""
        start = {**self._state(number, RUNNING), "datetime_start": _now()}
        self._append(*self._attributes(number, attributes), start)
        self._sync()

    def release(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Turn a RUNNING trial back into a WAITING one."""
        self._append(*self._attributes(number, attributes), self._state(number, WAITING))
        self._sync()

    def finish(
        self,
        number: int,
        state: int,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        constraints: Mapping[str, float],
    ) -> None:
        """Write a trial's end in one write: all of it, or nothing after a kill."""
        limits = [
            {"op_code": Op.SYSTEM_ATTR, "trial_id": self._id(number), "system_attr": {CONSTRAINT + name: value}}
            for name, value in constraints.items()
        ]
        end = {**self._state(number, state), "datetime_complete": _now()}
        end["values"] = None if values is None else list(values)
        self._append(*self._attributes(number, attributes), *limits, end)
        self._sync()

    def _id(self, number: int) -> int:
        return self._replay.trial_ids[number]

    def _state(self, number: int, state: int) -> dict[str, Any]:
        return {"op_code": Op.STATE, "trial_id": self._id(number), "state": state, "values": None}

    def _attributes(self, number: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
        trial = self._id(number)
        return [
            {"op_code": Op.USER_ATTR, "trial_id": trial, "user_attr": {name: value}}
            for name, value in attributes.items()
        ]

    # --- locks and leases ----------------------------------------------------------------------------------------

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock of this file's proposals."""
        return exclusive(self._file.files / "propose")

    def join(self, lease: str) -> None:
        """Hold a lock on a file named after the lease."""
        self._leases.take(lease)

    def beat(self) -> None:
        """Nothing to renew: the lock holds as long as the process lives."""

    def alive(self, lease: str) -> bool:
        """Return whether any process holds the lease's lock."""
        return self._leases.is_held(lease)

    def leave(self) -> None:
        """Free the lease."""
        self.settle()
        self._leases.leave()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector, which takes a third of the time that a million small lists take to make."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
