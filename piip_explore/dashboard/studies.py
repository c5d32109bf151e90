"""Which studies there are, and their trials as columns: read once, then only what is new.

Journal files are searched for the studies they hold without replaying them. An open study is kept by the server, one
for all browsers, and reads on from where it stopped.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piip_explore.dashboard import trials
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import Features, Trials
from piip_explore.errors import InputError
from piip_explore.search.columns import Reader
from piip_explore.search.storage import StorageURL, parse, study_names

EXAMPLE = Path(__file__).parent / "example"
"""Studies that come with the package, shown where there are no others."""

_STUDY_LINES = (b'{"op_code":0,', b'{"op_code":1,')
"""How journal lines begin that create and delete a study."""


@dataclass(frozen=True)
class Source:
    """Where a study lives. `label` names it among all that may be opened; `example`: it comes with the package."""

    storage: StorageURL
    name: str
    label: str
    example: bool = False


def find(options: Options) -> tuple[list[Source], list[str]]:
    """Return the studies of all storages, and a sentence for each storage that cannot be read."""
    found: list[tuple[StorageURL, str, bool]] = []
    problems: list[str] = []
    for address in options.storages:
        try:
            found += [(storage, name, False) for storage in _storages(address) for name in _names(storage)]
        except InputError as error:
            problems.append(str(error))
    if not found and not problems:
        examples = [parse(path) for path in sorted(EXAMPLE.glob("*.journal"))]
        found = [(storage, name, True) for storage in examples for name in _names(storage)]
    return [
        Source(storage, name, label, example)
        for (storage, name, example), label in zip(found, _labels(found), strict=True)
    ], problems


def _storages(address: str) -> list[StorageURL]:
    path = Path(address)
    if "://" not in address and path.is_dir():
        # A search that starts makes its file before it writes to it.
        return [parse(file) for file in sorted(path.glob("*.journal")) if file.stat().st_size]
    if address == Options.storages[0] and not path.exists():
        return []  # the folder that a first search will make
    return [parse(address)]


def _labels(found: list[tuple[StorageURL, str, bool]]) -> list[str]:
    names = [name for _, name, _ in found]
    labels = []
    for storage, name, example in found:
        label = name if names.count(name) == 1 else f"{name} ({storage.path.name if storage.path else storage.shown})"
        labels.append(f"{label} (example)" if example else label)
    return labels


def _names(storage: StorageURL) -> list[str]:
    if storage.kind == "journal":
        assert storage.path is not None
        return _journal_names(storage.path)
    return study_names(storage)


@dataclass(frozen=True)
class _Scan:
    """How far a journal file was searched for studies, and those found; None for a deleted one."""

    inode: int = 0
    size: int = 0
    names: tuple[str | None, ...] = ()


_SCANNED: dict[Path, _Scan] = {}


def _journal_names(path: Path) -> list[str]:
    """Return the studies that a journal file creates and does not delete, without replaying it."""
    try:
        with path.open("rb") as file:
            inode, size = os.fstat(file.fileno()).st_ino, os.fstat(file.fileno()).st_size
            scan = _SCANNED.get(path, _Scan())
            if scan.inode != inode or scan.size > size:
                scan = _Scan(inode)
            file.seek(scan.size)
            data = file.read()
    except OSError as error:
        raise InputError(f"cannot open the study file '{path}': {error.strerror}") from None
    names = list(scan.names)
    try:
        for line in _study_lines(data):
            if line["op_code"] == 0:
                names.append(str(line["study_name"]))
            else:
                names[line["study_id"]] = None
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"'{path}' is not a readable study file: restore it from a copy") from error
    if not names:
        raise InputError(f"'{path}' holds no study: it is empty or no Optuna journal; it was left as it is")
    _SCANNED[path] = _Scan(inode, scan.size + data.rfind(b"\n") + 1, tuple(names))
    return list(dict.fromkeys(name for name in names if name is not None))


def _study_lines(data: bytes) -> list[dict[str, Any]]:
    """Return the whole lines of a journal that create or delete studies, in order."""
    found = []
    for beginning in _STUDY_LINES:
        at = data.find(beginning)
        while at >= 0:
            end = data.find(b"\n", at)
            if end >= 0 and (at == 0 or data[at - 1 : at] == b"\n"):
                found.append((at, json.loads(data[at:end])))
            at = data.find(beginning, at + 1)
    return [line for _, line in sorted(found, key=lambda item: item[0])]


class Live:
    """An open study, shared by all browsers of the server."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._reader = Reader(source.storage, source.name)
        self._features: dict[str, Features] = {}
        self._trials: tuple[int, Trials] | None = None

    def poll(self) -> tuple[int, int]:
        """Read what is new; return a number that changes with any news, and how many trials have ended.

        Raises:
            InputError: the storage cannot be read any more.
        """
        with self._lock:
            return self._reader.poll(), self._reader.finished

    def held(self, leases: Iterable[str]) -> frozenset[str]:
        """Return which leases are held by searches that still run.

        A killed search leaves trials that look as if they ran; its lease is free.
        """
        with self._lock:
            return frozenset(lease for lease in set(leases) if self._alive(lease))

    def _alive(self, lease: str) -> bool:
        try:
            return self._reader.alive(lease)
        except OSError:
            return True  # what may not be read may be held

    def trials(self) -> tuple[int, Trials]:
        """Return the trials as they are now, and the number that `poll` gives for them.

        Raises:
            InputError: the storage cannot be read any more, or the study is not one of ours.
        """
        with self._lock:
            news = self._reader.poll()
            if self._trials is None or self._trials[0] != news:
                self._trials = news, trials.of(self._reader.refresh(), self._features)
            return self._trials


_OPEN: dict[Source, Live] = {}
_OPENING = threading.Lock()


def open_live(source: Source) -> Live:
    """Return the study, opened once for the whole server.

    Raises:
        InputError: the storage cannot be read, or holds no such study any more.
    """
    with _OPENING:
        if source not in _OPEN:
            _OPEN[source] = Live(source)
        return _OPEN[source]
