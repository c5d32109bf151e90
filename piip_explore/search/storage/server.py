"""A study in PostgreSQL: Optuna writes its tables, columns read them, and a server that is away is waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import optuna
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from piip_explore.errors import InputError
from piip_explore.search.storage import connection, serverlock
from piip_explore.search.storage.leases import TimedLeases, kept_alive
from piip_explore.search.storage.patience import Patience, WaitEndedError
from piip_explore.search.storage.reader.tables import TablesReader, widen
from piip_explore.search.storage.serverlock import ServerLock
from piip_explore.search.storage.url import StorageURL

PATIENCE_SECONDS = 300.0
"""How long a search waits for a server that is away."""

T = TypeVar("T")


class ServerMedium:
    """A database, as `StudyStorage` uses it. `may_create` makes Optuna's tables if they are missing.

    Raises:
        InputError: no connection, or another version's tables; the sentence never shows a password.
    """

    def __init__(self, url: StorageURL, study: str, patience: Patience, may_create: bool) -> None:
        self._url, self._study, self._patience = url, study, patience
        self._given_up = False
        self._reason = ""
        self._optuna = self._opened(may_create)
        self._lock = ServerLock(f"piip-explore study {study}", str(url), lambda: self._engine, patience, self.run)
        self._choices: Mapping[str, Sequence[Any]] = {}
        self.reader = TablesReader(self._with_connection, study)
        self.leases = TimedLeases(self.write, self._study_id, self._time)

    # --- opening -------------------------------------------------------------------------------------------------

    def _opened(self, may_create: bool) -> RDBStorage | None:
        """Return Optuna's storage, None if the database has no tables and may not get any."""
        waits = self._patience.waits(lambda: f"cannot open {self._url}: {self._reason}", 0.2, 10.0, PATIENCE_SECONDS)
        for _ in waits:
            try:
                return self._connect(may_create)
            except DBAPIError as error:
                self._reason = connection.reason(self._url, error)
                if not connection.passes_at_start(error, self._reason):
                    raise InputError(f"cannot open {self._url}: {self._reason}") from None
        raise AssertionError("waits end by an error")

    def _connect(self, may_create: bool) -> RDBStorage | None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        options: dict[str, Any] = {"pool_pre_ping": True, "connect_args": self._url.missing(connection.settings())}
        engine = create_engine(self._url.secret, **options)
        event.listen(engine, "connect", connection.bound)
        try:
            with engine.connect() as first:
                serverlock.take(first, "piip-explore tables")  # one machine at a time makes the tables
                if not may_create and not inspect(first).has_table("version_info"):
                    return None
                storage = RDBStorage(self._url.secret, engine_kwargs=options, skip_table_creation=not may_create)
        except DBAPIError:
            raise
        except ImportError:
            raise InputError(f"{self._url} needs the psycopg driver: pip install 'piip-explore[postgres]'") from None
        except (SQLAlchemyError, OptunaError, OSError, RuntimeError) as error:
            raise InputError(f"cannot open {self._url}: {connection.reason(self._url, error)}") from None
        finally:
            engine.dispose()
        event.listen(storage.engine, "connect", connection.bound)
        storage.engine.dispose()  # the connections made so far have no bounds
        return storage

    # --- what StudyStorage asks for ------------------------------------------------------------------------------

    def read(self) -> None:
        """Take in what is new."""
        if self._optuna is not None:
            self.reader.read()

    def write(self, operation: Callable[[BaseStorage], T]) -> T:
        """Have Optuna write something; again, if the server was away."""
        assert self._optuna is not None
        storage = self._optuna
        return self.run(lambda: operation(storage))

    def run(self, operation: Callable[[], T]) -> T:
        """Run an operation, again and again while the server is away, for up to `PATIENCE_SECONDS`.

        Raises:
            InputError: the server has refused it, or has not come back; later operations do not wait for it again.
        """
        give_up = 0.0 if self._given_up else PATIENCE_SECONDS
        waits = self._patience.waits(lambda: f"lost {self._url}: {self._reason}", 0.2, 10.0, give_up)
        try:
            for _ in waits:
                try:
                    return operation()
                except (DBAPIError, StorageInternalError) as error:
                    self._reason = connection.reason(self._url, error)
                    if not connection.passes(error):
                        raise InputError(f"{self._url}: {self._reason}") from None
                    self._disconnect()
        except WaitEndedError:
            self._given_up = self._patience.limit is None
            raise
        raise AssertionError("waits end by an error")

    def lock(self) -> AbstractContextManager[None]:
        """Return the study's lock."""
        return self._lock.held()

    def check_lock(self) -> None:
        """Ask whether the lock is still held.

        Raises:
            LockLostError: it is not.
        """
        self._lock.check()

    def busy(self) -> AbstractContextManager[None]:
        """Keep lock and lease while this process computes."""
        return kept_alive(self._lock.check, self.leases.beat)

    def widen(self, choices: Mapping[str, Sequence[Any]]) -> None:
        """Give the study's trials the choices of an extended space."""
        if self._choices == choices:
            return
        texts = {name: distribution_to_json(CategoricalDistribution(list(of))) for name, of in choices.items()}
        self._with_connection(lambda begun: widen(begun, self._study_id(), texts))
        self._choices = dict(choices)

    def settle(self) -> None:
        """Nothing to wait for: the server has answered every write."""

    def close(self) -> None:
        """Close all connections."""
        if self._optuna is not None:
            self._disconnect()

    # --- the connection ------------------------------------------------------------------------------------------

    @property
    def _engine(self) -> Engine:
        assert self._optuna is not None
        return self._optuna.engine

    def _study_id(self) -> int:
        assert self.reader.study_id is not None
        return self.reader.study_id

    def _time(self) -> float:
        """Return the server's time in seconds, which is the same for all machines."""
        with self._engine.connect() as begun:
            return float(begun.execute(text("SELECT EXTRACT(EPOCH FROM clock_timestamp())")).scalar_one())

    def _with_connection(self, operation: Callable[[Connection], None]) -> None:
        def once() -> None:
            with self._engine.begin() as begun:
                operation(begun)

        self.run(once)

    def _disconnect(self) -> None:
        """Close all connections: after a failover, the next ones may go to another server."""
        assert self._optuna is not None
        self._optuna.remove_session()
        self._engine.dispose()
