"""Files that are there whole or not at all, whatever stops the writing, and locks between processes."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from piip_explore.errors import InputError

_POLL_SECONDS = 0.2


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written under a name of its own beside `path`, with the same suffix, and move it into its place.

    The file is on the disk, not only in the system's memory, before it takes its place. The folder is made if it is
    missing.

    Args:
        path: where the file goes; what is there stays until the new one is whole.
        write: writes the file to the path that it is given.

    Raises:
        OSError: the folder cannot be made or written to; whatever `write` raises is raised too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        write(partial)
        _to_disk(partial, os.O_RDWR)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # Windows opens no folders; the file is whole without this
        _to_disk(path.parent, os.O_RDONLY)


def write_named(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that a person has named, whole or not at all, as `write_whole` does.

    Raises:
        InputError: it cannot be written.
    """
    try:
        write_whole(path, write)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None


def _to_disk(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, waiting: Callable[[], object] | None = None) -> Iterator[int]:
    """Hold an exclusive lock between processes on the file `path`, waiting for it as long as it takes.

    The file and its folder are made if they are missing. The system frees the lock if this process dies, unless a child
    has inherited the descriptor, which this yields: it holds the lock, too. While another process holds it, `waiting`
    is called several times a second; what it raises ends the wait.

    Raises:
        InputError: the file cannot be made, or its file system has no locks.
    """
    with _to_lock(path) as file:
        while not _locked(file.fileno(), path):
            if waiting is not None:
                waiting()
            time.sleep(_POLL_SECONDS)
        yield file.fileno()


def _to_lock(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None


def _locked(descriptor: int, path: Path) -> bool:
    """Return whether the file was free to be locked."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):
            raise InputError(f"'{path.parent}' is on a file system without locks: choose a local folder") from None
        raise InputError(f"cannot lock '{path}': {error.strerror}") from None
