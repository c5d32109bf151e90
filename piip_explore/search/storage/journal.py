"""Studies in an Optuna journal file, read and written as lines.

A journal is a file of JSON lines, one operation each, that any Optuna program replays. Replaying 100,000 trials into
Optuna's objects takes ten times as long as reading them into columns, so this module reads and writes the lines
itself; the contract tests hold it to what `optuna.storages.JournalStorage` makes of the same file.

What Optuna's own backend lacks and this one has:
- a line torn by a killed writer is cut off before the next line is written (Optuna appends to it, which makes the
  file unreadable), and a copy of the file as it was found is kept beside it;
- locks are `flock`s, which the kernel frees when their holder dies, however it dies. Optuna's lock file is taken as
  well, so that a plain Optuna script may write to the same study.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from piip_explore.errors import InputError
from piip_explore.search.storage.base import News, NewTrial, NoSuchStudyError
from piip_explore.search.storage.replay import CONSTRAINT, METRIC_NAMES, Replay
from piip_explore.search.storage.replay import Operation as Op
from piip_explore.search.storage.table import RUNNING, WAITING, Table
from piip_explore.search.storage.url import StorageURL

_LINE_START = b'{"op_code"'
_BLOCK = 1 << 24
_OPTUNA_GRACE_SECONDS = 30.0


class JournalStorage:
    """A study in a journal file (see `StudyStorage`). `directions` creates the study if the file lacks it.

    Raises:
        InputError: no such file or study (without `directions`), or a file that is no journal; it stays untouched.
    """

    def __init__(self, url: StorageURL, study: str, directions: Sequence[str] | None = None) -> None:
        assert url.path is not None
        self.url, self.study, self.path = url, study, url.path
        self._files = self.path.with_name(self.path.name + ".files")
        self._lease: BinaryIO | None = None
        self._lease_path: Path | None = None
        self._writer = f"{os.getpid()}-{time.time_ns():x}"
        if directions is None and not self.path.is_file():
            if self.path.exists():
                raise InputError(f"'{self.path}' is not a file: expected a study file such as studies/demo.journal")
            raise NoSuchStudyError(url, study, None)
        self._news = News()
        self._unsettled = False
        self._start_over()
        self._sync()
        if self._replay.study_id is None:
            if directions is None:
                raise NoSuchStudyError(url, study, list(self._replay.studies))
            self._create(directions)

    @property
    def table(self) -> Table:
        """The study's trials as they were at the last refresh."""
        return self._replay.table

    def _start_over(self) -> None:
        self._replay = Replay(self.study)
        self._offset = 0
        self._inode = 0

    def _create(self, directions: Sequence[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.lock():
            self._sync()
            if self._replay.study_id is None:
                codes = [{"minimize": 1, "maximize": 2}[direction] for direction in directions]
                self._append({"op_code": Op.CREATE_STUDY, "study_name": self.study, "directions": codes})
                self._sync()

    # --- reading -------------------------------------------------------------------------------------------------

    def refresh(self) -> set[int] | None:
        """Return what changed since the last refresh; None means that the file was cut or replaced and read anew."""
        self._sync()
        return self._news.report()

    def _sync(self) -> None:
        """Read the lines that are new."""
        if not self.path.exists():
            if self._offset:
                raise InputError(f"the study file '{self.path}' has disappeared: put it back, or start another study")
            return
        with self._open("rb") as file:
            anew = self._is_another(file)
            if anew:
                self._start_over()
            self._inode = os.fstat(file.fileno()).st_ino
            file.seek(self._offset)
            changed: set[int] = set()
            rest = b""
            while block := file.read(_BLOCK):
                rest += block
                whole = rest.rfind(b"\n") + 1
                changed |= self._apply(rest[:whole])
                self._offset += whole
                rest = rest[whole:]
        if not self._offset and rest and not _is_torn_line(rest):
            raise self._unreadable(1)
        self._news.gather(None if anew else changed)

    def _is_another(self, file: BinaryIO) -> bool:
        """Whether what was read so far is no longer what the file begins with: cut below it, or replaced."""
        status = os.fstat(file.fileno())
        if not self._offset:
            return False
        if status.st_ino != self._inode or status.st_size < self._offset:
            return True
        file.seek(self._offset - 1)
        return file.read(1) != b"\n"

    def _apply(self, data: bytes) -> set[int]:
        changed: set[int] = set()
        if not data:
            return changed
        apply, scan = self._replay.apply, json.JSONDecoder().raw_decode
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError as error:
            raise self._unreadable(self._replay.lines + data.count(b"\n", 0, error.start) + 1) from error
        with _no_collection():
            for position, line in enumerate(lines[:-1]):
                try:
                    operation, end = scan(line if line[:1] == "{" else (line := line.lstrip()))
                    if end != len(line) and line[end:].strip():
                        raise ValueError("something follows the operation")
                    number = apply(operation)
                except (ValueError, LookupError, TypeError, AttributeError) as error:
                    raise self._unreadable(self._replay.lines + position + 1) from error
                if number is not None:
                    changed.add(number)
        self._replay.lines += len(lines) - 1
        return changed

    def _open(self, mode: str) -> BinaryIO:
        try:
            return open(self.path, mode)  # type: ignore[return-value]
        except OSError as error:
            raise InputError(f"cannot open the study file '{self.path}': {error.strerror}") from None

    def _unreadable(self, line: int) -> InputError:
        return InputError(
            f"'{self.path}' is not a readable study file (line {line} is no Optuna journal line); it was left as it "
            "is: name another file with --storage, or restore this one from a copy"
        )

    # --- writing -------------------------------------------------------------------------------------------------

    def _append(self, *operations: Mapping[str, Any]) -> None:
        """Append operations as one write, which a kill of this process cannot undo; see `settle` for the machine's."""
        lines = [{**operation, "worker_id": self._writer} for operation in operations]
        data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
        with self._exclusive("append"), _optuna_lock(self.path):
            self.path.touch()
            with self._open("r+b") as file:
                self._cut_torn_line(file)
                file.seek(0, os.SEEK_END)
                file.write(data)

    def _cut_torn_line(self, file: BinaryIO) -> None:
        size = file.seek(0, os.SEEK_END)
        whole = _end_of_last_line(file, size)
        if whole == size:
            return
        file.seek(whole)
        if not _is_torn_line(file.read()):
            raise self._unreadable(self._replay.lines + 1)
        shutil.copy2(self.path, _free_name(self.path.with_name(self.path.name + ".torn")))
        file.truncate(whole)

    def settle(self) -> None:
        """Wait until every result written so far is on the disk: one wait for all that came in together."""
        if self._unsettled:
            with self._open("rb") as file:
                os.fsync(file.fileno())
            self._unsettled = False

    def set_study_attribute(self, name: str, value: Any) -> None:
        """Set a user attribute of the study."""
        self._append({"op_code": Op.STUDY_USER_ATTR, "study_id": self._replay.study_id, "user_attr": {name: value}})
        self._sync()

    def name_values(self, names: Sequence[str]) -> None:
        """Tell Optuna the names of the objectives."""
        attribute = {METRIC_NAMES: list(names)}
        self._append({"op_code": Op.STUDY_SYSTEM_ATTR, "study_id": self._replay.study_id, "system_attr": attribute})
        self._sync()

    def create(self, trial: NewTrial, state: int) -> int:
        """Create a trial; everything known about it goes into one line."""
        self._sync()
        self._append(
            {
                "op_code": Op.CREATE_TRIAL,
                "study_id": self._replay.study_id,
                "datetime_start": _now() if state == RUNNING else None,
                "state": state,
                "value": None,
                "values": None,
                "distributions": {name: categorical(choices) for name, choices in trial.choices.items()},
                "params": {name: list(trial.choices[name]).index(value) for name, value in trial.params.items()},
                "user_attrs": dict(trial.attributes),
                "system_attrs": {CONSTRAINT + name: value for name, value in trial.constraints.items()},
                "intermediate_values": {},
            }
        )
        self._sync()
        return self._replay.created_by[self._writer]

    def claim(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Turn a WAITING trial into a RUNNING one."""
        start = {**self._state(number, RUNNING), "datetime_start": _now()}
        self._append(*self._attributes(number, attributes), start)
        self._sync()

    def release(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Turn a RUNNING trial back into a WAITING one."""
        self._append(*self._attributes(number, attributes), self._state(number, WAITING))
        self._sync()

    def finish(
        self,
        number: int,
        state: int,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        constraints: Mapping[str, float],
    ) -> None:
        """Write a trial's end in one write: all of it, or nothing after a kill."""
        limits = [
            {"op_code": Op.SYSTEM_ATTR, "trial_id": self._id(number), "system_attr": {CONSTRAINT + name: value}}
            for name, value in constraints.items()
        ]
        end = {**self._state(number, state), "datetime_complete": _now()}
        end["values"] = None if values is None else list(values)
        self._append(*self._attributes(number, attributes), *limits, end)
        self._unsettled = True
        self._sync()

    def _id(self, number: int) -> int:
        return self._replay.trial_ids[number]

    def _state(self, number: int, state: int) -> dict[str, Any]:
        return {"op_code": Op.STATE, "trial_id": self._id(number), "state": state, "values": None}

    def _attributes(self, number: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
        trial = self._id(number)
        return [
            {"op_code": Op.USER_ATTR, "trial_id": trial, "user_attr": {name: value}}
            for name, value in attributes.items()
        ]

    # --- locks and leases ----------------------------------------------------------------------------------------

    @contextmanager
    def _exclusive(self, name: str) -> Iterator[None]:
        self._files.mkdir(parents=True, exist_ok=True)
        with open(self._files / name, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock of this file's proposals."""
        with self._exclusive("propose"):
            yield

    def join(self, lease: str) -> None:
        """Hold a lock on a file named after the lease; the kernel frees it when this process ends."""
        self._files.mkdir(parents=True, exist_ok=True)
        self._lease_path = self._files / f"lease-{lease}"
        self._lease = open(self._lease_path, "ab")  # noqa: SIM115 (held until `leave`)
        fcntl.flock(self._lease, fcntl.LOCK_EX)

    def beat(self) -> None:
        """Nothing to renew: the lock holds as long as the process lives."""

    def alive(self, lease: str) -> bool:
        """Return whether any process holds the lease's lock."""
        path = self._files / f"lease-{lease}"
        if self._lease_path == path:
            return self._lease is not None
        try:
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        path.unlink(missing_ok=True)
        return False

    def leave(self) -> None:
        """Free the lease."""
        self.settle()
        if self._lease is not None and self._lease_path is not None:
            self._lease_path.unlink(missing_ok=True)
            self._lease.close()
            self._lease = None


def categorical(choices: Sequence[Any]) -> str:
    """Return the JSON text of Optuna's categorical distribution over `choices`."""
    return json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": list(choices)}})


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector, which takes a third of the time that a million small lists take to make."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


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
