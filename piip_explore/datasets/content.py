"""A hash of what files hold: equal hashes mean equal bytes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from piip_explore import phases
from piip_explore.datasets.folders import in_threads
from piip_explore.errors import InputError

_SETTLED = 2.0
"""Seconds after which a second change of a file is sure to have another time, on the coarsest file system."""

_KNOWN: dict[Path, tuple[tuple[int, ...], bytes]] = {}
"""Digests of this process by path, each with the state of the file that it was taken from."""


def content_hash(paths: Iterable[Path]) -> str:
    """Return sixteen hexadecimal digits over names (with the folder's) and bytes of files, in their order.

    A file is read once per process, and again whenever its size or one of its times has changed.

    Raises:
        InputError: a file cannot be read.
    """
    listed = list(paths)
    whole = hashlib.sha256()
    for path, digest in zip(listed, in_threads(_digest, listed, _told), strict=True):
        whole.update(os.fsencode(f"{path.parent.name}/{path.name}\n") + digest)
    return whole.hexdigest()[:16]


def _told(number: int) -> None:
    phases.tell("reading files, to see whether they have changed")


def _digest(path: Path) -> bytes:
    try:
        state = _state(path)
        known = _KNOWN.get(path)
        if known is not None and known[0] == state:
            return known[1]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'") from None
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from None
    except ValueError as error:  # a name that no file can have
        raise InputError(f"there is no file {str(path)!r}: {error}") from None
    if time.time_ns() - max(state[:2]) > _SETTLED * 1e9:
        _KNOWN[path] = state, digest
    return digest


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file is written: the change time even where the other time is set back."""
    found = path.stat()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
