"""Leases: how searches know of each other whether they still run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO

from optuna.storages import BaseStorage

from piip_explore.errors import InputError
from piip_explore.search.storage import locks

LEASE_SECONDS = 120.0
"""How long a search on a server may be silent before its trials are taken back."""

_KEY = "piip_explore:lease:"


@contextmanager
def kept_alive(*renewals: Callable[[], None]) -> Iterator[None]:
    """Renew what lapses in `LEASE_SECONDS`, from a thread, while this one computes.

    What has lapsed all the same, or a server that is away, is found out by whoever uses it next.
    """
    ended = Event()

    def renew() -> None:
        while not ended.wait(LEASE_SECONDS / 12):
            for renewal in renewals:
                with suppress(InputError):
                    renewal()

    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class FileLeases:
    """Leases as locked bytes of the journal: they hold as long as their process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: BinaryIO | None = None
        self._name = ""

    def take(self, name: str) -> None:
        """Hold a lease; a second call, after the file was replaced, holds it on the new file."""
        self.leave()
        self._name = name
        try:
            self._held = open(self._path, "r+b")  # noqa: SIM115 - the lease is held as long as it is open
        except OSError as error:
            raise InputError(f"cannot open the study file '{self._path}': {error.strerror}") from None
        locks.try_lock(self._held, locks.lease_byte(name))

    def retake(self) -> None:
        """Hold the lease on the file that has taken the place of the first."""
        if self._held is not None:
            self.take(self._name)

    def beat(self) -> None:
        """Nothing to renew: the lock holds as long as the process lives."""

    def alive(self, name: str) -> bool:
        """Return whether any process holds the lease's byte."""
        if self._held is not None and name == self._name:
            return True
        with open(self._path, "rb") as file:
            return locks.is_locked(file, locks.lease_byte(name))

    def leave(self) -> None:
        """Free the byte."""
        if self._held is not None:
            self._held.close()
            self._held = None


class TimedLeases:
    """Leases on a server: system attributes of the study with the server's time of the last beat.

    `write` runs something on Optuna's storage, again if the server was away.
    """

    def __init__(
        self,
        write: Callable[[Callable[[BaseStorage], Any]], Any],
        study_id: Callable[[], int],
        server_time: Callable[[], float],
    ) -> None:
        self._write, self._study_id, self._time = write, study_id, server_time
        self._name = ""
        self._beaten = 0.0

    def take(self, name: str) -> None:
        """Begin to beat."""
        self._name = name
        self._renew()

    def beat(self) -> None:
        """Write the server's time into the lease."""
        if self._name and time.monotonic() - self._beaten > LEASE_SECONDS / 12:
            self._renew()

    def alive(self, name: str) -> bool:
        """Return whether the lease was renewed within `LEASE_SECONDS` of the server's time."""

        def silence(optuna: BaseStorage) -> float:
            beaten = optuna.get_study_system_attrs(self._study_id()).get(_KEY + name)
            return self._time() - beaten if isinstance(beaten, float) else float("inf")

        return name == self._name or self._write(silence) < LEASE_SECONDS

    def leave(self) -> None:
        """Let the lease lapse at once; without a server it lapses by itself."""
        if self._name:
            with suppress(InputError):
                self._write(lambda optuna: self._set(optuna, 0.0))
            self._name = ""

    def _renew(self) -> None:
        self._write(lambda optuna: self._set(optuna, self._time()))
        self._beaten = time.monotonic()

    def _set(self, optuna: BaseStorage, moment: float) -> None:
        optuna.set_study_system_attr(self._study_id(), f"{_KEY}{self._name}", moment)
