"""A study's lock on a PostgreSQL server: exclusive over all machines, and free when its holder's connection ends.

A holder from which the server hears nothing for `leases.LEASE_SECONDS` loses it: its machine may be gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from piip_explore.search.storage import connection as connections
from piip_explore.search.storage.patience import LockLostError, Patience


class ServerLock:
    """The lock `name` of the database `where`. `run` runs an operation again while the server is away."""

    def __init__(
        self,
        name: str,
        where: str,
        engine: Callable[[], Engine],
        patience: Patience,
        run: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._name, self._where, self._engine, self._patience, self._run = name, where, engine, patience, run
        self._holding: Connection | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; a wait for another holder names it."""
        self._holding = connection = self._patience.until(
            lambda: self._run(self._try),
            lambda: f"another search holds the lock of {self._where}{self._run(self._holder)}",
            0.01,
        )
        try:
            yield
        finally:
            self._holding = None
            with suppress(DBAPIError):  # the server may have ended the connection, and with it the lock
                connection.close()

    def _try(self) -> Connection | None:
        """Return a connection that holds the lock, None if another held it for the time that a statement may wait."""
        connection = self._engine().connect()
        try:
            take(connection, self._name)
        except BaseException as error:
            connection.close()
            if connections.lock_timed_out(error):
                return None
            raise
        return connection

    def _holder(self) -> str:
        statement = text(
            "SELECT application_name, EXTRACT(EPOCH FROM clock_timestamp() - xact_start) FROM pg_locks "
            "JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND "
            "((classid::bigint << 32) | objid::bigint) = :key AND datname = current_database()"
        )
        with self._engine().connect() as connection:
            found = connection.execute(statement, {"key": _key(self._name)}).first()
        return "" if found is None else f", {found[0]} for {found[1]:.0f} s"

    def check(self) -> None:
        """Ask whether the lock is still held, which keeps it held.

        Raises:
            LockLostError: it is not.
        """
        if self._holding is not None:
            try:
                self._holding.execute(text("SELECT 1"))
            except DBAPIError as error:
                raise LockLostError from error


def take(connection: Connection, name: str) -> None:
    """Take the server's advisory lock named `name` until the connection's transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key(name)})


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
