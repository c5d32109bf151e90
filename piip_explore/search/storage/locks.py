"""Locks and leases on one machine: `flock`s, which the kernel frees when their holder ends, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from piip_explore.errors import InputError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock on the file `path`, which is made if it is missing.

    Raises:
        InputError: it cannot be made.
    """
    with _made(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class FileLeases:
    """Leases as locked files in a folder, one per lease: this process may hold one, and ask for any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: BinaryIO | None = None
        self._name = ""

    def take(self, name: str) -> None:
        """Hold the lease `name` until `leave`, or until this process ends."""
        self._held, self._name = _made(self._path(name)), name
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def is_held(self, name: str) -> bool:
        """Return whether any process holds the lease `name`."""
        if self._held is not None and name == self._name:
            return True
        path = self._path(name)
        try:
            with open(path, "r+b") as file:  # not "rb": network file systems lock for writing what is open for it
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        path.unlink(missing_ok=True)
        return False

    def leave(self) -> None:
        """Give the lease back."""
        if self._held is not None:
            self._path(self._name).unlink(missing_ok=True)
            self._held.close()
            self._held = None

    def _path(self, name: str) -> Path:
        return self._folder / f"lease-{name}"


def _made(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "ab")
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None
