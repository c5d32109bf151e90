"""The file under a journal: whole lines in, whole lines out, whoever is killed in between.

What Optuna's own backend lacks and this one has:
- a line torn by a killed writer is cut off before the next line is written (Optuna appends to it, which makes the
  file unreadable), and kept beside the file;
- a write that a full disk cuts short is taken back;
- writers exclude each other by a lock that is free when its holder ends. Optuna's lock file is taken as well, so that
  a plain Optuna script may write to the same study.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from piip_explore.errors import InputError
from piip_explore.search.storage import locks
from piip_explore.search.storage.patience import Patience

LINE_START = b'{"op_code"'
"""How every journal line begins."""

_BLOCK = 1 << 24
_OPTUNA_GRACE_SECONDS = 30.0


class JournalFile:
    """A journal's lines: those that are new since the last look, and the way to add some.

    Attributes:
        path: the file.
        line: number of the line that was read last, from 1.
    """

    def __init__(self, path: Path, patience: Patience) -> None:
        self.path = path
        self.line = 0
        self._patience = patience
        self._offset = 0
        self._inode = 0
        self._unsettled = False
        self._locked = 0

    # --- reading -------------------------------------------------------------------------------------------------

    @contextmanager
    def news(self) -> Iterator[tuple[bool, Iterator[dict[str, Any]]]]:
        """Open the file and give the operations that are new, to be read to their end.

        The first value tells whether they begin anew because the file was cut or replaced.

        Raises:
            InputError: the file has disappeared, cannot be opened, or a line is not a journal line.
        """
        if not self.path.exists():
            if self._offset:
                raise self._gone()
            yield False, iter(())
            return
        with self._open("rb") as file:
            anew = self._is_another(file)
            if anew:
                self._offset = self.line = 0
            self._inode = os.fstat(file.fileno()).st_ino
            yield anew, self._operations(file)

    def _is_another(self, file: BinaryIO) -> bool:
        """Whether what was read so far is no longer what the file begins with: cut below it, or replaced."""
        status = os.fstat(file.fileno())
        if not self._offset:
            return False
        if status.st_ino != self._inode or status.st_size < self._offset:
            return True
        file.seek(self._offset - 1)
        return file.read(1) != b"\n"

    def _operations(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        file.seek(self._offset)
        rest = b""
        while block := file.read(_BLOCK):
            rest += block
            whole = rest.rfind(b"\n") + 1
            yield from self._parsed(rest[:whole])
            self._offset += whole
            rest = rest[whole:]
        if not self._offset and rest and not _is_torn_line(rest):
            raise unreadable(self.path, 1)

    def _parsed(self, data: bytes) -> Iterator[dict[str, Any]]:
        for line in data.split(b"\n")[:-1]:
            self.line += 1
            try:
                operation = _loads(line)
            except (ValueError, RecursionError) as error:
                raise unreadable(self.path, self.line) from error
            if not isinstance(operation, dict):
                raise unreadable(self.path, self.line)
            yield operation

    def _gone(self) -> InputError:
        return InputError(f"the study file '{self.path}' has disappeared: put it back, or start another study")

    def _open(self, mode: str) -> BinaryIO:
        try:
            return open(self.path, mode)  # type: ignore[return-value]
        except OSError as error:
            raise InputError(f"cannot open the study file '{self.path}': {error.strerror}") from None

    # --- writing -------------------------------------------------------------------------------------------------

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock of all who write to the file, under whatever name; it may be taken again while it is held.

        Raises:
            InputError: the file is missing and cannot be made.
            WaitEndedError: another holds the lock, and the wait was ended.
        """
        with nullcontext() if self._locked else self._patience.until(self._try_lock, self._describe_lock, 0.001):
            self._locked += 1
            try:
                yield
            finally:
                self._locked -= 1

    def _try_lock(self) -> BinaryIO | None:
        """Return the file, opened and locked; a file that is replaced meanwhile is not the one to lock."""
        file = self._made()
        if locks.try_lock(file, locks.WRITER) and self._is_named(file):
            return file
        file.close()
        return None

    def _describe_lock(self) -> str:
        with self._made() as file:
            return f"another search holds the lock of '{self.path}'{locks.holder(file, locks.WRITER)}"

    def _made(self) -> BinaryIO:
        if self._offset and not self.path.exists():
            raise self._gone()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return open(self.path, "ab", buffering=0)
        except OSError as error:
            raise InputError(f"cannot write the study file '{self.path}': {error.strerror}") from None

    def _is_named(self, file: BinaryIO) -> bool:
        with suppress(OSError):
            return os.path.samestat(os.stat(self.path), os.fstat(file.fileno()))
        return False

    def append(self, data: bytes) -> None:
        """Append whole lines as one write, which a kill of this process cannot undo; see `settle` for the machine's.

        Raises:
            InputError: the file cannot be written, or ends with something that is not a journal line.
        """
        with self.exclusive():
            try:
                with _optuna_lock(self.path), open(self.path, "r+b", buffering=0) as file:
                    end = self._cut_torn_line(file)
                    try:
                        _write_all(file, data)
                    except OSError:
                        file.truncate(end)
                        raise
            except OSError as error:
                raise InputError(f"cannot write the study file '{self.path}': {error.strerror}") from None
        self._unsettled = True

    def _cut_torn_line(self, file: Any) -> int:
        """Cut off what follows the last whole line, and leave the file at its end; return where that is."""
        size = file.seek(0, os.SEEK_END)
        whole = _end_of_last_line(file, size)
        if whole < size:
            file.seek(whole)
            torn = file.read()
            if not _is_torn_line(torn):
                raise unreadable(self.path, self.line + 1)
            with suppress(OSError), open(f"{self.path}.torn", "ab") as kept:  # on a full disk, not even this
                kept.write(torn + b"\n")
            file.truncate(whole)
        return int(file.seek(whole))

    def settle(self) -> None:
        """Wait until everything written so far is on the disk: one wait for all that came in together."""
        if self._unsettled:
            with self._open("rb") as file:
                os.fsync(file.fileno())
            self._unsettled = False


def _loads(line: bytes) -> Any:
    """Read a line; Optuna writes NaN and infinities too, which only Python's slower parser takes for JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line.decode())


def unreadable(path: Path, line: int) -> InputError:
    """Return the error for a line that is not a journal line."""
    return InputError(
        f"'{path}' is not a readable study file (line {line} is not an Optuna journal line); it was left as it is: "
        "name another file with --storage, or restore this one from a copy"
    )


def _write_all(file: Any, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _is_torn_line(tail: bytes) -> bool:
    """Whether bytes after the last newline are the start of a journal line (or zeros left by a power failure)."""
    tail = tail.rstrip(b"\0")
    return LINE_START.startswith(tail[: len(LINE_START)])


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    end, block = size, 1 << 16
    while end > 0:
        begin = max(0, end - block)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


@contextmanager
def _optuna_lock(path: Path) -> Iterator[None]:
    """Hold the lock that Optuna's `JournalFileSymlinkLock` takes, a symbolic link beside the file.

    Our processes exclude each other before they come here. So a link that is spelled our way was left by one of ours
    that was killed, and goes at once; a foreign one is waited for, and goes after Optuna's grace period.
    """
    link, target = f"{path}.lock", os.path.join(".", ".", path.name)
    waiting_since = time.monotonic()
    while True:
        try:
            os.symlink(target, link)
            break
        except FileExistsError:
            stale = time.monotonic() - waiting_since > _OPTUNA_GRACE_SECONDS
            if stale or (os.path.islink(link) and os.readlink(link) == target):
                Path(link).unlink(missing_ok=True)
            else:
                time.sleep(0.002)
    try:
        yield
    finally:
        Path(link).unlink(missing_ok=True)
