"""One study in one storage, live: the same for a journal file and a database, written by Optuna."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from optuna.distributions import CategoricalDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from piip_explore.errors import InputError, expected
from piip_explore.search.storage.patience import Patience
from piip_explore.search.storage.reader.notes import Note
from piip_explore.search.storage.reader.study import CONSTRAINT, METRIC_NAMES
from piip_explore.search.storage.table import RUNNING, WAITING, Table
from piip_explore.search.storage.url import StorageURL, parse

if TYPE_CHECKING:
    from piip_explore.search.storage.journal import JournalMedium
    from piip_explore.search.storage.server import ServerMedium

T = TypeVar("T")

_MOST_NAMED = 20


class NoSuchStudyError(InputError):
    """The storage, or the study in it, does not exist; `names` are the studies that do, None without a file."""

    def __init__(self, storage: StorageURL, study: str, names: Sequence[str] | None) -> None:
        if names is None:
            super().__init__(f"there is no study file '{storage}'{_beside(storage)}")
        else:
            super().__init__(f"{storage} holds no study '{study}': it holds {', '.join(sorted(names)) or 'none'}")
        self.names = None if names is None else list(names)


def _beside(storage: StorageURL) -> str:
    """Return how the sentence about a missing file ends: with the studies beside it."""
    path = storage.path
    found = [] if path is None else [file.stem for file in sorted(path.parent.glob("[!.]*.journal"))]
    said = expected(path.stem, found) if path is not None and found else ""
    if said and (len(found) <= _MOST_NAMED or said.startswith("did you mean")):
        return f": {said}"
    return ": give the storage that the search printed"


@dataclass(frozen=True)
class NewTrial:
    """A trial to create: plain Optuna parameters, user attributes and constraints (feasible at or below 0).

    `choices` are the values that each parameter can take, in order; they make its Optuna distribution.
    """

    params: Mapping[str, Any]
    choices: Mapping[str, Sequence[Any]]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)


class StudyStorage:
    """One study in one storage, live. Trials are named by their number in the study.

    Whoever proposes holds `lock()`, which is exclusive over all processes (and machines, where the storage serves
    several) and frees itself when its holder dies. A search that runs trials holds a lease from `join()` on.
    `directions` ("maximize" or "minimize" per objective) creates the study if the storage lacks it.

    Raises:
        InputError: the storage cannot be read, or has no such study (without `directions`); it stays untouched.
    """

    def __init__(self, storage: str | Path | StorageURL, study: str, directions: Sequence[str] | None = None) -> None:
        self.url, self.study = parse(storage), study
        self.patience = Patience()
        self._medium = self._open(may_create=directions is not None)
        self._medium.read()
        if self._medium.reader.study_id is None:
            if directions is None:
                raise NoSuchStudyError(self.url, study, self._medium.reader.names)
            self._create_study(directions)

    def _open(self, may_create: bool) -> JournalMedium | ServerMedium:
        path = self.url.path
        if path is None:
            from piip_explore.search.storage.server import ServerMedium

            return ServerMedium(self.url, self.study, self.patience, may_create)
        from piip_explore.search.storage.journal import JournalMedium

        if not path.exists() and not may_create:
            raise NoSuchStudyError(self.url, self.study, None)
        return JournalMedium(path, self.study, self.patience)

    def _create_study(self, directions: Sequence[str]) -> None:
        codes = [StudyDirection[word.upper()] for word in directions]
        with self.lock(), suppress(DuplicatedStudyError):  # another search may have been faster
            self._medium.write(lambda optuna: optuna.create_new_study(codes, self.study))
        self._medium.read()

    # --- reading -------------------------------------------------------------------------------------------------

    @property
    def table(self) -> Table:
        """The study's trials as they were at the last refresh."""
        return self._medium.reader.table

    def refresh(self) -> set[int] | None:
        """Read what is new into `table`.

        Returns the numbers of the trials that changed since the last refresh, whoever changed them (this object's own
        writes too); None if everything was read anew, because a file was cut or replaced.
        """
        self._medium.read()
        reader = self._medium.reader
        changed, reader.changed = reader.changed, set()
        return changed

    # --- writing -------------------------------------------------------------------------------------------------

    @property
    def _study_id(self) -> int:
        study = self._medium.reader.study_id
        assert study is not None
        return study

    def _write(self, operation: Callable[[BaseStorage], T]) -> T | None:
        """Have Optuna write something, and read it; return None where that is about a trial that has ended already."""
        written = None
        with suppress(UpdateFinishedTrialError):
            written = self._medium.write(operation)
        self._medium.read()
        return written

    def set_study_attribute(self, name: str, value: Any) -> None:
        """Set a user attribute of the study."""
        self._write(lambda optuna: optuna.set_study_user_attr(self._study_id, name, value))

    def name_values(self, names: Sequence[str]) -> None:
        """Tell Optuna the names of the objectives."""
        self.set_system_attributes({METRIC_NAMES: list(names)})

    def set_system_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set system attributes of the study, such as notes, as another storage has them."""

        def write(optuna: BaseStorage) -> None:
            for name, value in attributes.items():
                optuna.set_study_system_attr(self._study_id, name, value)

        self._write(write)

    def notes(self) -> dict[int, Note]:
        """Return the notes on trials, by their numbers, as they were at the last refresh."""
        reader = self._medium.reader
        return {
            reader.numbers[trial]: reader.notes.of(trial) for trial in reader.notes.trials() if trial in reader.numbers
        }

    def write_note(self, number: int, words: str, version: int) -> None:
        """Write the note on a trial in place of its version `version`; optuna-dashboard shows it too.

        Raises:
            InputError: another reader has written it meanwhile; it is left as it is.
        """
        self._medium.read()
        trial, notes = self._medium.reader.ids[number], self._medium.reader.notes
        if notes.of(trial).version != version:
            raise InputError(
                f"the note on trial {number} was changed by somebody else meanwhile: read it, then write yours"
            )
        self.set_system_attributes(notes.to_write(trial, words))

    def create(self, trial: NewTrial, state: int) -> int:
        """Create a RUNNING or WAITING trial in one write and return its number. Hold the lock.

        Raises:
            LockLostError: the lock is held no more.
        """
        template = create_trial(
            state=TrialState(state),
            params=dict(trial.params),
            distributions={name: CategoricalDistribution(list(choices)) for name, choices in trial.choices.items()},
            user_attrs=dict(trial.attributes),
            system_attrs={CONSTRAINT + name: value for name, value in trial.constraints.items()},
        )
        created = self._create(template, trial.choices)
        self._medium.read()
        return self._medium.reader.numbers[created]

    def take_over(self, trial: FrozenTrial) -> None:
        """Create a trial as another storage has it; one that runs there waits here. Hold the lock."""
        if trial.state == TrialState.RUNNING:
            trial.state = TrialState.WAITING
        self._create(trial, {name: getattr(kind, "choices", ()) for name, kind in trial.distributions.items()})

    def _create(self, trial: FrozenTrial, choices: Mapping[str, Sequence[Any]]) -> int:
        self._medium.widen(choices)
        self._medium.check_lock()
        return self._medium.write(lambda optuna: optuna.create_new_trial(self._study_id, trial))

    def whole(self) -> tuple[BaseStorage, int]:
        """Return Optuna's storage and the study's number in it."""
        return self._medium.write(lambda optuna: (optuna, self._study_id))

    def delete(self) -> None:
        """Delete the study; it cannot be used after that."""
        with self.lock():
            self._medium.write(lambda optuna: optuna.delete_study(self._study_id))

    def claim(self, number: int, attributes: Mapping[str, Any]) -> bool:
        """Turn a WAITING trial into a RUNNING one with `attributes`; return False if another was faster."""
        claimed = self._set_state(number, RUNNING)
        if claimed:
            self.set_attributes(number, attributes)
        return claimed

    def release(self, number: int) -> None:
        """Turn a RUNNING trial back into a WAITING one."""
        self._set_state(number, WAITING)

    def finish(self, number: int, state: int, values: Sequence[float] | None, attributes: Mapping[str, Any]) -> None:
        """Write a RUNNING trial's end: its attributes, then COMPLETE, PRUNED or FAIL with values.

        A kill in between leaves a trial that still runs. A trial that has ended already stays as it is: by an earlier
        try whose answer was lost, or by a search whose lease had lapsed.
        """
        self.set_attributes(number, attributes)
        self._set_state(number, state, values)

    def set_attributes(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of a trial that has not ended; of one that has, they stay as they are."""
        trial = self._medium.reader.ids[number]

        def write(optuna: BaseStorage) -> None:
            for name, value in attributes.items():
                if self.table.attribute(name, number) != value:
                    optuna.set_trial_user_attr(trial, name, value)

        self._write(write)

    def _set_state(self, number: int, state: int, values: Sequence[float] | None = None) -> bool:
        trial = self._medium.reader.ids[number]
        return bool(self._write(lambda optuna: optuna.set_trial_state_values(trial, TrialState(state), values)))

    def settle(self) -> None:
        """Make every result written so far survive the machine's failure too."""
        self._medium.settle()

    # --- locks and leases ----------------------------------------------------------------------------------------

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock under which trials are proposed, claimed and reclaimed."""
        return self._medium.lock()

    def join(self, lease: str) -> None:
        """Take the lease named `lease` for this process."""
        self._medium.leases.take(lease)

    def beat(self) -> None:
        """Renew the lease; call it every few seconds."""
        self._medium.leases.beat()

    def busy(self) -> AbstractContextManager[None]:
        """Keep the lock, if it is held, and the lease while this process computes, however long it takes."""
        return self._medium.busy()

    def alive(self, lease: str) -> bool:
        """Return whether the lease `lease` is held."""
        return self._medium.leases.alive(lease)

    def leave(self) -> None:
        """Give the lease back and close the storage."""
        self._medium.leases.leave()
        self._medium.close()
