"""The file under a journal: whole lines in, whole lines out, whoever is killed in between.

What Optuna's own backend lacks and this one has:
- a line torn by a killed writer is cut off before the next line is written (Optuna appends to it, which makes the
  file unreadable), and a copy of the file as it was found is kept beside it;
- writers exclude each other by `flock`. Optuna's lock file is taken as well, so that a plain Optuna script may write
  to the same study.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from piip_explore.errors import InputError
from piip_explore.search.storage.locks import exclusive

_LINE_START = b'{"op_code"'
_BLOCK = 1 << 24
_OPTUNA_GRACE_SECONDS = 30.0


class JournalFile:
    """A journal's lines: those that are new since the last look, and the way to add some.

    Attributes:
        path: the file.
        files: the folder beside it, for locks and leases.
        line: number of the line that was read last, from 1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = path.with_name(path.name + ".files")
        self.line = 0
        self._offset = 0
        self._inode = 0
        self._unsettled = False

    # --- reading -------------------------------------------------------------------------------------------------

    @contextmanager
    def news(self) -> Iterator[tuple[bool, Iterator[dict[str, Any]]]]:
        """Open the file and give the operations that are new, to be read to their end.

        The first value tells whether they begin anew because the file was cut or replaced.

        Raises:
            InputError: the file has disappeared, cannot be opened, or a line is no journal line.
        """
        if not self.path.exists():
            if self._offset:
                raise InputError(f"the study file '{self.path}' has disappeared: put it back, or start another study")
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
            raise self.unreadable(1)

    def _parsed(self, data: bytes) -> Iterator[dict[str, Any]]:
        scan = json.JSONDecoder().raw_decode
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError as error:
            raise self.unreadable(self.line + data.count(b"\n", 0, error.start) + 1) from error
        for line in lines[:-1]:
            self.line += 1
            try:
                operation, end = scan(line if line[:1] == "{" else (line := line.lstrip()))
            except ValueError as error:
                raise self.unreadable(self.line) from error
            if not isinstance(operation, dict) or (end != len(line) and line[end:].strip()):
                raise self.unreadable(self.line)
            yield operation

    def unreadable(self, line: int) -> InputError:
        """Return the error that says that a line is no journal line."""
        return InputError(
            f"'{self.path}' is not a readable study file (line {line} is no Optuna journal line); it was left as it "
            "is: name another file with --storage, or restore this one from a copy"
        )

    def _open(self, mode: str) -> BinaryIO:
        try:
            return open(self.path, mode)  # type: ignore[return-value]
        except OSError as error:
            raise InputError(f"cannot open the study file '{self.path}': {error.strerror}") from None

    # --- writing -------------------------------------------------------------------------------------------------

    def append(self, data: bytes) -> None:
        """Append whole lines as one write, which a kill of this process cannot undo; see `settle` for the machine's.

        Raises:
            InputError: the file cannot be written, or ends with something that is no journal line.
        """
        with exclusive(self.files / "append"):
            try:
                with _optuna_lock(self.path):
                    self.path.touch()
                    with open(self.path, "r+b") as file:
                        self._cut_torn_line(file)
                        file.seek(0, os.SEEK_END)
                        file.write(data)
            except OSError as error:
                raise InputError(f"cannot write the study file '{self.path}': {error.strerror}") from None
        self._unsettled = True

    def _cut_torn_line(self, file: BinaryIO) -> None:
        size = file.seek(0, os.SEEK_END)
        whole = _end_of_last_line(file, size)
        if whole == size:
            return
        file.seek(whole)
        if not _is_torn_line(file.read()):
            raise self.unreadable(self.line + 1)
        shutil.copy2(self.path, _free_name(self.path.with_name(self.path.name + ".torn")))
        file.truncate(whole)

    def settle(self) -> None:
        """Wait until everything written so far is on the disk: one wait for all that came in together."""
        if self._unsettled:
            with self._open("rb") as file:
                os.fsync(file.fileno())
            self._unsettled = False


def _is_torn_line(tail: bytes) -> bool:
    """Whether bytes after the last newline are the start of a journal line (or zeros left by a power failure)."""
    tail = tail.rstrip(b"\0")
    return _LINE_START.startswith(tail[: len(_LINE_START)])


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


def _free_name(path: Path) -> Path:
    count, free = 1, path
    while free.exists():
        count += 1
        free = path.with_name(f"{path.name}-{count}")
    return free


@contextmanager
def _optuna_lock(path: Path) -> Iterator[None]:
    """Hold the lock that Optuna's `JournalFileSymlinkLock` takes, a symbolic link beside the file.

    Our processes exclude each other by `flock` before they come here. So a link that is spelled our way was left by
    one of ours that was killed, and goes at once; a foreign one is waited for, and goes after Optuna's grace period.
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
