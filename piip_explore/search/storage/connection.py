"""Connections to a PostgreSQL server: their settings, and what their errors mean."""

from __future__ import annotations

import os
import socket
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError

from piip_explore.search.storage import leases
from piip_explore.search.storage.url import StorageURL

LOCK_TIMEOUT_SECONDS = 2
"""How long a statement may wait for a lock; whoever waits longer asks again, and can be told to stop."""

_LOCK_TIMED_OUT, _READ_ONLY = "55P03", "25006"  # PostgreSQL's error codes
_SOON = ("too many", "connection slots", "starting up", "shutting down", "in recovery mode", "lock timeout")
"""What a server says at a start that will be otherwise soon."""


def settings() -> dict[str, str | int]:
    """Return libpq settings with which a machine that is gone is noticed, and with which the server names us."""
    return {
        "application_name": f"process {os.getpid()} on {socket.gethostname()}"[:63],
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


def bound(connection: Any, record: object) -> None:
    """Have the server end what waits too long, and sessions of machines that are gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s';"
            f"SET idle_in_transaction_session_timeout = '{leases.LEASE_SECONDS:.0f}s';"
            "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
        )
    connection.commit()


def passes(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is one that may be over soon: no connection, a lock, a standby server."""
    while error is not None:
        if isinstance(error, OperationalError | InterfaceError) or getattr(error, "connection_invalidated", False):
            return True
        if _sqlstate(error) == _READ_ONLY:
            return True
        error = error.__cause__
    return False


def passes_at_start(error: Exception, reason: str) -> bool:
    """Whether an error of a first connection, with this `reason`, may be over soon: a wrong password is not."""
    return getattr(error, "connection_invalidated", False) or any(words in reason for words in _SOON)


def lock_timed_out(error: BaseException) -> bool:
    """Whether another held a lock for the time that a statement may wait."""
    return _sqlstate(error) == _LOCK_TIMED_OUT


def reason(url: StorageURL, error: Exception) -> str:
    """Return what a server or a driver said, in one line and without the password."""
    cause = getattr(error, "orig", None) or error.__cause__ or error
    cause = getattr(cause, "orig", None) or cause
    return url.redact((str(cause).strip() or type(cause).__name__).splitlines()[0])


def _sqlstate(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)
