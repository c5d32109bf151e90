"""The connection to a database: made once, waited for while the server is away, and never shown with its password."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from piip_explore.errors import InputError
from piip_explore.search.storage.base import NoSuchStudyError
from piip_explore.search.storage.locks import exclusive
from piip_explore.search.storage.url import StorageURL

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import Connection

PATIENCE_SECONDS = 300.0
"""How long a search waits for a server that is away."""

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Server:
    """A database with Optuna's tables, for one study's storage. `may_create` makes the tables if they are missing.

    Attributes:
        url: its address.
        optuna: Optuna's storage on it.
        engine: SQLAlchemy's engine of the same.

    Raises:
        InputError: no connection, or no tables (without `may_create`); the sentence never shows a password.
    """

    def __init__(self, url: StorageURL, study: str, may_create: bool) -> None:
        self.url = url
        self.optuna = _connect(url, study, may_create)
        self.engine = self.optuna.engine
        self._given_up = False

    def repeat(self, operation: Callable[[], T]) -> T:
        """Run an operation, again and again while the server is away, for up to `PATIENCE_SECONDS`.

        Raises:
            InputError: the server has not come back; later operations do not wait for it again.
        """
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import DBAPIError

        deadline, pause, told = time.monotonic() + PATIENCE_SECONDS, 0.2, False
        while True:
            try:
                result = operation()
            except (DBAPIError, StorageInternalError) as error:
                if not _is_away(error):
                    raise
                reason = _reason(self.url, error)
                if self._given_up or time.monotonic() > deadline:
                    self._given_up = True
                    raise InputError(f"lost {self.url}: {reason}") from None
                if pause > 1 and not told:
                    _log.warning("%s is away, waiting for it: %s", self.url, reason)
                    told = True
                self.optuna.remove_session()
                time.sleep(pause)
                pause = min(2 * pause, 10.0)
            else:
                if told:
                    _log.warning("%s is back", self.url)
                return result

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock that is exclusive over all machines, and free when its holder's connection ends."""
        if self.url.path is not None:
            with exclusive(self.url.path.with_name(self.url.path.name + ".lock")):
                yield
            return
        from sqlalchemy.exc import DBAPIError

        connection = self.repeat(lambda: self._locked(name))
        try:
            yield
        finally:
            with suppress(DBAPIError):  # the server may have ended the connection, and with it the lock
                connection.close()

    def _locked(self, name: str) -> Connection:
        connection = self.engine.connect()
        try:
            _take_lock(connection, name)
        except BaseException:
            connection.close()
            raise
        return connection

    def time(self) -> float:
        """Return the server's time in seconds, which is the same for all machines."""
        if self.url.path is not None:
            return time.time()
        from sqlalchemy import text

        with self.engine.connect() as connection:
            return float(connection.execute(text("SELECT EXTRACT(EPOCH FROM clock_timestamp())")).scalar_one())

    def close(self) -> None:
        """Close all connections."""
        self.optuna.remove_session()
        self.engine.dispose()


class OnServer(Protocol):
    """What `patient` methods belong to."""

    server: Server


S = TypeVar("S", bound=OnServer)


def patient(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Repeat a method while the server is away; see `Server.repeat`."""

    @wraps(method)
    def repeated(self: S, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.server.repeat(lambda: method(self, *args, **kwargs))

    return cast("Callable[Concatenate[S, P], T]", repeated)


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


def _connect(url: StorageURL, study: str, may_create: bool) -> RDBStorage:
    import optuna
    from optuna.exceptions import OptunaError
    from optuna.storages import RDBStorage
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options: dict[str, Any] = {} if url.path is not None else {"pool_pre_ping": True}
    try:
        if url.path is not None and may_create:
            url.path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url.secret)
        with engine.connect() as connection:
            if url.path is None:  # one machine at a time makes the tables
                _take_lock(connection, "piip-explore tables")
            if not may_create and not inspect(connection).has_table("version_info"):
                raise NoSuchStudyError(url, study, [])
            storage = RDBStorage(url.secret, engine_kwargs=options, skip_table_creation=not may_create)
        engine.dispose()
        return storage
    except ImportError:
        raise InputError(f"{url} needs the psycopg driver: pip install 'psycopg[binary]'") from None
    except (SQLAlchemyError, OptunaError, OSError, RuntimeError) as error:
        raise InputError(f"cannot open {url}: {_reason(url, error)}") from None


def _take_lock(connection: Connection, name: str) -> None:
    """Take the server's advisory lock named `name` until the connection's transaction ends."""
    from sqlalchemy import text

    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
