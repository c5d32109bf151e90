"""Studies in a database: PostgreSQL for many machines; SQLite works, but see `SQLITE_WARNING`.

Writing goes through `optuna.storages.RDBStorage`. Reading goes straight to the tables of Optuna's schema 12 (objects
for 100,000 trials take a minute); another schema is read through Optuna's objects.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from piip_explore.errors import InputError
from piip_explore.search.storage.base import News, NewTrial, NoSuchStudyError
from piip_explore.search.storage.replay import CONSTRAINT, METRIC_NAMES, constraints, external
from piip_explore.search.storage.table import COMPLETE, FAIL, PRUNED, RUNNING, STATES, WAITING, Table
from piip_explore.search.storage.url import StorageURL

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import Connection

SQLITE_WARNING = (
    "SQLite locks the whole file for every write: with several workers it is ten times slower than a journal file, "
    "and plain Optuna workers claim queued trials twice. A journal file (the default) needs no server either."
)
LEASE_SECONDS = 60.0
"""How long a search on another machine may be silent before its trials are taken back."""

PATIENCE_SECONDS = 300.0
"""How long a search waits for a server that is away."""

P = ParamSpec("P")
T = TypeVar("T")

_LEASE = "piip_explore:lease:"
_SCHEMA = 12
_FINISHED = (COMPLETE, PRUNED, FAIL)


def _patient(
    operation: Callable[Concatenate[RelationalStorage, P], T],
) -> Callable[Concatenate[RelationalStorage, P], T]:
    """Repeat an operation while the server is away, for up to `PATIENCE_SECONDS`."""

    @wraps(operation)
    def repeated(storage: RelationalStorage, *args: P.args, **kwargs: P.kwargs) -> T:
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import DBAPIError

        deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.2
        while True:
            try:
                return operation(storage, *args, **kwargs)
            except (DBAPIError, StorageInternalError) as error:
                if not _is_away(error):
                    raise
                if time.monotonic() > deadline:
                    raise InputError(f"lost {storage.url}: {_reason(storage.url, error)}") from None
                storage._optuna.remove_session()
                time.sleep(pause)
                pause = min(2 * pause, 10.0)

    return cast("Callable[Concatenate[RelationalStorage, P], T]", repeated)


def _is_away(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is a connection that failed."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    while error is not None:
        if isinstance(error, OperationalError | InterfaceError) or getattr(error, "connection_invalidated", False):
            return True
        error = error.__cause__
    return False


def _reason(url: StorageURL, error: Exception) -> str:
    cause = getattr(error, "orig", None) or error.__cause__ or error
    return url.redact(str(cause).strip().splitlines()[0])


class RelationalStorage:
    """A study in a database (see `StudyStorage`). `directions` creates the study if the database lacks it.

    Raises:
        InputError: no connection, no such study (without `directions`); the sentence never shows a password.
    """

    def __init__(self, url: StorageURL, study: str, directions: Sequence[str] | None = None) -> None:
        self.url, self.study = url, study
        if url.path is not None and directions is None and not url.path.is_file():
            raise NoSuchStudyError(url, study, None)
        self._optuna = _connect(url, study, may_create=directions is not None)
        self._engine = self._optuna.engine
        self._study_id = self._find_study(directions)
        self._lease: str | None = None
        self._choices: dict[str, Sequence[Any]] = {}
        self._beaten = 0.0
        self._news = News()
        self._start_over()
        self._sync()

    @property
    def table(self) -> Table:
        """The study's trials as they were at the last refresh."""
        return self._table

    def _start_over(self) -> None:
        self._table = Table()
        self._trial_ids: list[int] = []
        self._numbers: dict[int, int] = {}
        self._open: set[int] = set()
        self._distributions: dict[str, Any] = {}

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

    @_patient
    def _sync(self) -> None:
        """Read new trials, and again those that were not finished when they were last read."""
        self.table.study_attributes = dict(self._optuna.get_study_user_attrs(self._study_id))
        self.table.directions = [d.name.lower() for d in self._optuna.get_study_directions(self._study_id)]
        from sqlalchemy import text

        with self._engine.connect() as connection:
            schema = connection.execute(text("SELECT schema_version FROM version_info")).scalar()
            if schema != _SCHEMA:
                self._refresh_from_objects()
                self._news.gather(None)
                return
            last = self._trial_ids[-1] if self._trial_ids else -1
            where = "t.study_id = :study AND (t.trial_id > :last"
            if self._open:
                where += " OR t.trial_id IN (" + ",".join(str(self._trial_ids[n]) for n in sorted(self._open)) + ")"
            self._news.gather(self._read(connection, where + ")", {"study": self._study_id, "last": last}))

    def _read(self, connection: Connection, where: str, bind: Mapping[str, Any]) -> set[int]:
        from sqlalchemy import text

        def query(columns: str, joined: str = "") -> Sequence[Any]:
            join = f" JOIN {joined} x ON x.trial_id = t.trial_id" if joined else ""
            statement = f"SELECT t.trial_id, {columns} FROM trials t{join} WHERE {where} ORDER BY t.trial_id"
            return connection.execute(text(statement), bind).all()

        # The trials come first: one that ends while we read is then seen unfinished, and is read again.
        trials = query("t.state, t.datetime_start, t.datetime_complete")
        values = query("x.objective, x.value, x.value_type", "trial_values")
        params = query("x.param_name, x.param_value, x.distribution_json", "trial_params")
        attributes = query("x.key, x.value_json", "trial_user_attributes")
        limits = query("x.key, x.value_json", "trial_system_attributes")
        changed = {self._put(row) for row in trials}
        table, numbers = self.table, self._numbers
        for trial, objective, value, kind in values:
            if trial in numbers:
                row = table.values[numbers[trial]]
                row = list(row) if row is not None else [float("nan")] * len(table.directions)
                row[objective] = {"INF_POS": float("inf"), "INF_NEG": float("-inf")}.get(kind, value)
                table.values[numbers[trial]] = row
        for trial, name, value, distribution in params:
            if trial in numbers:
                table.set(table.params, name, numbers[trial], external(self._distributions, distribution, value))
        for trial, name, value in attributes:
            if trial in numbers:
                table.set(table.attributes, name, numbers[trial], json.loads(value))
        for trial, name, value in limits:
            if trial in numbers and name.startswith("constraints"):
                for limit, bound in constraints({name: json.loads(value)}).items():
                    table.set(table.constraints, limit, numbers[trial], bound)
        return changed

    def _put(self, row: Any) -> int:
        trial, state_name, started, completed = row
        state = STATES.index(state_name)
        number = self._numbers.get(trial)
        if number is None:
            number = self.table.append(state, None, _iso(started), _iso(completed), {}, {}, {})
            self._numbers[trial] = number
            self._trial_ids.append(trial)
        else:
            self.table.state[number] = state
            self.table.started[number], self.table.completed[number] = _iso(started), _iso(completed)
        (self._open.discard if state in _FINISHED else self._open.add)(number)
        return number

    def _refresh_from_objects(self) -> None:
        self._start_over()
        self.table.study_attributes = dict(self._optuna.get_study_user_attrs(self._study_id))
        self.table.directions = [d.name.lower() for d in self._optuna.get_study_directions(self._study_id)]
        for trial in self._optuna.get_all_trials(self._study_id, deepcopy=False):
            times = (t and t.astimezone().isoformat() for t in (trial.datetime_start, trial.datetime_complete))
            started, completed = (t and datetime.fromisoformat(t).astimezone(_utc_zone()) for t in times)
            number = self.table.append(
                int(trial.state),
                trial.values,
                _iso(started),
                _iso(completed),
                trial.params,
                trial.user_attrs,
                constraints(trial.system_attrs),
            )
            self._trial_ids.append(trial._trial_id)
            self._numbers[trial._trial_id] = number

    # --- writing -------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Nothing to wait for: the server has answered every write."""

    @_patient
    def set_study_attribute(self, name: str, value: Any) -> None:
        """Set a user attribute of the study."""
        self._optuna.set_study_user_attr(self._study_id, name, value)
        self.table.study_attributes[name] = value

    @_patient
    def name_values(self, names: Sequence[str]) -> None:
        """Tell Optuna the names of the objectives."""
        self._optuna.set_study_system_attr(self._study_id, METRIC_NAMES, list(names))

    @_patient
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
        return self._numbers[trial_id]

    def _extend_choices(self, trial: NewTrial) -> None:
        """Give the study's trials the choices of an extended space, which Optuna refuses to mix with fewer choices.

        A value is stored as its number among the choices, and a space grows at the end of each list of choices
        (`study.extend` sees to that), so the stored numbers keep their meaning.
        """
        from sqlalchemy import text

        if self._choices == trial.choices:
            return
        from piip_explore.search.storage.journal import categorical

        with self._engine.begin() as connection:
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

    @_patient
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

        trial = self._trial_ids[number]
        try:
            for name, value in attributes.items():
                self._optuna.set_trial_user_attr(trial, name, value)
            for name, value in limits.items():
                self._optuna.set_trial_system_attr(trial, CONSTRAINT + name, value)
            self._optuna.set_trial_state_values(trial, TrialState(state), values)
        except UpdateFinishedTrialError:
            pass  # by an earlier try whose answer was lost, or by a search whose lease had lapsed: the first end holds
        self._sync()

    # --- locks and leases ----------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study's lock: an advisory lock of the server, which frees it when the connection ends."""
        if self.url.path is not None:
            with open(f"{self.url.path}.lock", "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
            return
        with self._advisory_lock(_key(f"piip-explore study {self.study}")):
            yield

    @contextmanager
    def _advisory_lock(self, key: int) -> Iterator[None]:
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        @_patient
        def take(storage: RelationalStorage) -> Connection:
            connection = storage._engine.connect()
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            return connection

        connection = take(self)
        try:
            yield
        finally:
            with suppress(DBAPIError):  # the server may have ended the connection, and with it the lock
                connection.close()

    def join(self, lease: str) -> None:
        """Begin to beat for the lease."""
        self._lease = lease
        self._beaten = 0.0
        self.beat()

    def beat(self) -> None:
        """Write the server's time into the lease, every few seconds."""
        if self._lease is None or time.monotonic() - self._beaten < LEASE_SECONDS / 6:
            return
        self._renew()

    @_patient
    def _renew(self) -> None:
        self._optuna.set_study_system_attr(self._study_id, f"{_LEASE}{self._lease}", self._server_time())
        self._beaten = time.monotonic()

    @_patient
    def alive(self, lease: str) -> bool:
        """Return whether the lease was renewed within `LEASE_SECONDS` of the server's time."""
        if lease == self._lease:
            return True
        beaten = self._optuna.get_study_system_attrs(self._study_id).get(_LEASE + lease)
        return isinstance(beaten, float) and self._server_time() - beaten < LEASE_SECONDS

    def _server_time(self) -> float:
        if self.url.path is not None:
            return time.time()
        from sqlalchemy import text

        with self._engine.connect() as connection:
            return float(connection.execute(text("SELECT EXTRACT(EPOCH FROM clock_timestamp())")).scalar_one())

    def leave(self) -> None:
        """Let the lease lapse at once and close the connections."""
        if self._lease is not None:
            self._optuna.set_study_system_attr(self._study_id, _LEASE + self._lease, 0.0)
            self._lease = None
        self._optuna.remove_session()
        self._engine.dispose()


def _connect(url: StorageURL, study: str, may_create: bool) -> RDBStorage:
    import optuna
    from optuna.exceptions import OptunaError
    from optuna.storages import RDBStorage
    from sqlalchemy import create_engine, inspect, text
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url.path is not None and may_create:
        url.path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {} if url.path is not None else {"pool_pre_ping": True}
    try:
        engine = create_engine(url.secret)
        with engine.connect() as connection:
            if url.path is None:  # one machine at a time makes the tables
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key("piip-explore tables")})
            if not may_create and not inspect(connection).has_table("version_info"):
                raise NoSuchStudyError(url, study, [])
            storage = RDBStorage(url.secret, engine_kwargs=options, skip_table_creation=not may_create)
        engine.dispose()
        return storage
    except ImportError:
        raise InputError(f"{url} needs the psycopg driver: pip install 'psycopg[binary]'") from None
    except (SQLAlchemyError, OptunaError, RuntimeError) as error:
        raise InputError(f"cannot open {url}: {_reason(url, error)}") from None


def _key(name: str) -> int:
    """A number that names an advisory lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _iso(moment: datetime | str | None) -> str | None:
    if moment is None or isinstance(moment, str):
        return None if moment is None else moment.replace(" ", "T")
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def _utc_zone() -> Any:
    from datetime import UTC

    return UTC
