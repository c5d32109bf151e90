"""Studies in a database: PostgreSQL for many machines; SQLite works, but see `SQLITE_WARNING`.

Writing goes through `optuna.storages.RDBStorage`, reading straight to Optuna's tables (`schema`); `server` is the
connection.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from piip_explore.errors import InputError
from piip_explore.search.storage.base import News, NewTrial, NoSuchStudyError
from piip_explore.search.storage.replay import CONSTRAINT, METRIC_NAMES, categorical
from piip_explore.search.storage.schema import TrialTables
from piip_explore.search.storage.server import Server, patient
from piip_explore.search.storage.table import RUNNING, WAITING, Table
from piip_explore.search.storage.url import StorageURL

SQLITE_WARNING = (
    "SQLite locks the whole file for every write: with several workers it is ten times slower than a journal file, "
    "and plain Optuna workers claim queued trials twice. A journal file (the default) needs no server either."
)
LEASE_SECONDS = 120.0
"""How long a search on another machine may be silent before its trials are taken back."""

_LEASE = "piip_explore:lease:"


class RelationalStorage:
    """A study in a database (see `StudyStorage`). `directions` creates the study if the database lacks it.

    Raises:
        InputError: no connection, no such study (without `directions`); the sentence never shows a password.
    """

    def __init__(self, url: StorageURL, study: str, directions: Sequence[str] | None = None) -> None:
        self.url, self.study = url, study
        if url.path is not None and directions is None and not url.path.is_file():
            raise NoSuchStudyError(url, study, None)
        self.server = Server(url, study, may_create=directions is not None)
        self._optuna = self.server.optuna
        self._study_id = self._find_study(directions)
        self._trials = TrialTables(self._study_id)
        self._lease: str | None = None
        self._beaten = 0.0
        self._choices: dict[str, Sequence[Any]] = {}
        self._news = News()
        self._sync()

    @property
    def table(self) -> Table:
        """The study's trials as they were at the last refresh."""
        return self._trials.table

    def _find_study(self, directions: Sequence[str] | None) -> int:
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        try:
            return self._optuna.get_study_id_from_name(self.study)
        except KeyError:
            if directions is None:
                names = [study.study_name for study in self._optuna.get_all_studies()]
                raise NoSuchStudyError(self.url, self.study, names) from None
        codes = [StudyDirection.MAXIMIZE if word == "maximize" else StudyDirection.MINIMIZE for word in directions]
        try:
            return self._optuna.create_new_study(codes, self.study)
        except DuplicatedStudyError:  # another machine was faster
            return self._optuna.get_study_id_from_name(self.study)

    # --- reading -------------------------------------------------------------------------------------------------

    def refresh(self) -> set[int] | None:
        """Return what changed since the last refresh."""
        self._sync()
        return self._news.report()

    @patient
    def _sync(self) -> None:
        try:
            attributes = self._optuna.get_study_user_attrs(self._study_id)
            directions = [d.name.lower() for d in self._optuna.get_study_directions(self._study_id)]
        except KeyError:
            raise InputError(f"study '{self.study}' in {self.url} was deleted") from None
        with self.server.engine.connect() as connection:
            if TrialTables.are_known(connection):
                self.table.study_attributes, self.table.directions = dict(attributes), directions
                self._news.gather(self._trials.read(connection))
                return
        self._trials.read_objects(self._optuna.get_all_trials(self._study_id, deepcopy=False), attributes, directions)
        self._news.gather(None)

    # --- writing -------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Nothing to wait for: the server has answered every write."""

    @patient
    def set_study_attribute(self, name: str, value: Any) -> None:
        """Set a user attribute of the study."""
        self._optuna.set_study_user_attr(self._study_id, name, value)
        self.table.study_attributes[name] = value

    @patient
    def name_values(self, names: Sequence[str]) -> None:
        """Tell Optuna the names of the objectives."""
        self._optuna.set_study_system_attr(self._study_id, METRIC_NAMES, list(names))

    @patient
    def create(self, trial: NewTrial, state: int) -> int:
        """Create a trial in one transaction."""
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import TrialState, create_trial

        self._extend_choices(trial)
        template = create_trial(
            state=TrialState(state),
            params=dict(trial.params),
            distributions={name: CategoricalDistribution(list(choices)) for name, choices in trial.choices.items()},
            user_attrs=dict(trial.attributes),
            system_attrs={CONSTRAINT + name: value for name, value in trial.constraints.items()},
        )
        trial_id = self._optuna.create_new_trial(self._study_id, template)
        self._sync()
        return self._trials.numbers[trial_id]

    def _extend_choices(self, trial: NewTrial) -> None:
        """Give the study's trials the choices of an extended space, which Optuna refuses to mix with fewer choices.

        A value is stored as its number among the choices, and a space grows at the end of each list of choices
        (`search.extend` sees to that), so the stored numbers keep their meaning.
        """
        from sqlalchemy import text

        if self._choices == trial.choices:
            return
        with self.server.engine.begin() as connection:
            for name, choices in trial.choices.items():
                connection.execute(
                    text(
                        "UPDATE trial_params SET distribution_json = :new WHERE param_name = :name "
                        "AND distribution_json <> :new AND trial_id IN "
                        "(SELECT trial_id FROM trials WHERE study_id = :study)"
                    ),
                    {"new": categorical(choices), "name": name, "study": self._study_id},
                )
        self._choices = dict(trial.choices)

    def claim(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Turn a WAITING trial into a RUNNING one."""
        self._set(number, RUNNING, None, attributes, {})

    def release(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Turn a RUNNING trial back into a WAITING one."""
        self._set(number, WAITING, None, attributes, {})

    def finish(
        self,
        number: int,
        state: int,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        constraints: Mapping[str, float],
    ) -> None:
        """Write a trial's end; the state goes last, so that a kill in between leaves a trial that still runs."""
        self._set(number, state, values, attributes, constraints)

    @patient
    def _set(
        self,
        number: int,
        state: int,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        limits: Mapping[str, float],
    ) -> None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trial = self._trials.ids[number]
        # A trial may have ended already: by an earlier try whose answer was lost, or by a search whose lease had
        # lapsed. The first end holds.
        with suppress(UpdateFinishedTrialError):
            for name, value in attributes.items():
                self._optuna.set_trial_user_attr(trial, name, value)
            for name, value in limits.items():
                self._optuna.set_trial_system_attr(trial, CONSTRAINT + name, value)
            self._optuna.set_trial_state_values(trial, TrialState(state), values)
        self._sync()

    # --- locks and leases ----------------------------------------------------------------------------------------

    def lock(self) -> AbstractContextManager[None]:
        """Return the study's lock: an advisory lock of the server, which frees it when the connection ends."""
        return self.server.lock(f"piip-explore study {self.study}")

    def join(self, lease: str) -> None:
        """Begin to beat for the lease."""
        self._lease = lease
        self._renew()

    def beat(self) -> None:
        """Write the server's time into the lease, every few seconds."""
        if self._lease is not None and time.monotonic() - self._beaten > LEASE_SECONDS / 12:
            self._renew()

    @patient
    def _renew(self) -> None:
        self._optuna.set_study_system_attr(self._study_id, f"{_LEASE}{self._lease}", self.server.time())
        self._beaten = time.monotonic()

    @patient
    def alive(self, lease: str) -> bool:
        """Return whether the lease was renewed within `LEASE_SECONDS` of the server's time."""
        if lease == self._lease:
            return True
        beaten = self._optuna.get_study_system_attrs(self._study_id).get(_LEASE + lease)
        return isinstance(beaten, float) and self.server.time() - beaten < LEASE_SECONDS

    def leave(self) -> None:
        """Let the lease lapse at once and close the connections; without a server it lapses by itself."""
        if self._lease is not None:
            with suppress(InputError):
                self._end_lease()
            self._lease = None
        self.server.close()

    @patient
    def _end_lease(self) -> None:
        self._optuna.set_study_system_attr(self._study_id, f"{_LEASE}{self._lease}", 0.0)
