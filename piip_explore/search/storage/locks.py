"""Locks on a file itself, which the kernel frees when their holder ends, however it ends.

A lock belongs to the file's inode: a symbolic link, a hard link and a file that is mounted into a container are one
file. Locks are single bytes beyond any file's end (open file description locks: `fcntl(2)`, F_OFD_SETLK), so one file
has as many of them as are needed, and closing another handle of the file does not free them, as it frees POSIX locks.

`piip_explore.files.exclusive` cannot do this: it locks a file as a whole, while a study's file has a lock for its
writers and one per lease, and it cannot ask whether a lease is held without taking it.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from piip_explore.errors import InputError

try:
    import fcntl
except ModuleNotFoundError:
    raise InputError(
        "studies need file locks that this system lacks: run searches and look at studies on Linux or macOS, "
        "on Windows in WSL"
    ) from None

WRITER = 1 << 62
"""The byte of the lock that writers hold."""

_LEASES = 1 << 61
_LINUX, _DARWIN = "hhqqi4x", "qqihh"


def try_lock(file: BinaryIO, byte: int) -> bool:
    """Lock a byte of a file that is open for writing; return whether it was free."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK, byte))
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: another holds it
        return False
    return True


def is_locked(file: BinaryIO, byte: int) -> bool:
    """Return whether another open file holds a byte."""
    answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, byte))
    kind = struct.unpack(_DARWIN, answer)[3] if sys.platform == "darwin" else struct.unpack(_LINUX, answer)[0]
    return bool(kind != fcntl.F_UNLCK)


def lease_byte(name: str) -> int:
    """Return the byte of the lease of this name."""
    return _LEASES + int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])


def holder(file: BinaryIO, byte: int) -> str:
    """Return who holds a byte, as far as this machine's process table tells: ', held by process 7 (stopped)', or ''."""
    inode = f":{os.fstat(file.fileno()).st_ino} {byte} "
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for info in (entry / "fdinfo").iterdir():
                with suppress(OSError):
                    if any("OFDLCK" in line and inode in line for line in info.read_text().splitlines()):
                        state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                        stopped = f" (stopped; 'kill -CONT {entry.name}' continues it)" if state in "Tt" else ""
                        return f", held by process {entry.name}{stopped}"
    return ""


def _request(kind: int, byte: int) -> bytes:
    if sys.platform == "darwin":
        return struct.pack(_DARWIN, byte, 1, 0, kind, os.SEEK_SET)
    return struct.pack(_LINUX, kind, os.SEEK_SET, byte, 1, 0)
