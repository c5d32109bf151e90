"""Which studies there are, and their trials as columns: read once, then only what is new.

Journal files are searched for the studies they hold without replaying them. An open study is kept by the server, one
for all browsers, and reads on from where it stopped.
"""

from __future__ import annotations

import json
import mmap
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import Features, Trials, read
from piip_explore.errors import InputError
from piip_explore.search.storage import RUNNING, WAITING, StorageURL, open_study, parse

EXAMPLE = Path(__file__).parent / "example"
"""Studies that come with the package, shown where there are no others."""

_STUDY_LINE = re.compile(rb'^\{"op_code": ?[01],[^\n]*\}$', re.MULTILINE)
"""A journal line that creates (0) or deletes (1) a study."""


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
    if not found:
        examples = [parse(path) for path in sorted(EXAMPLE.glob("*.journal"))]
        found = [(storage, name, True) for storage in examples for name in _names(storage)]
    return [
        Source(storage, name, label, example)
        for (storage, name, example), label in zip(found, _labels(found), strict=True)
    ], problems


def _storages(address: str) -> list[StorageURL]:
    path = Path(address)
    if "://" not in address and path.is_dir():
        return [parse(file) for file in sorted(path.glob("*.journal"))]
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
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    try:
        database = RDBStorage(storage.secret, skip_table_creation=True)
        return [study.study_name for study in database.get_all_studies()]
    except (SQLAlchemyError, RuntimeError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise InputError(f"cannot open {storage}: {storage.redact(reason)}") from None


def _journal_names(path: Path) -> list[str]:
    """Return the studies that a journal file creates and does not delete, without replaying it."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            lines = [match.group() for match in _STUDY_LINE.finditer(data)]
    except ValueError:  # an empty file cannot be mapped
        lines = []
    except OSError as error:
        raise InputError(f"cannot open the study file '{path}': {error.strerror}") from None
    names: list[str | None] = []
    try:
        for line in map(json.loads, lines):
            if line["op_code"] == 0:
                names.append(str(line["study_name"]))
            else:
                names[line["study_id"]] = None
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"'{path}' is not a readable study file: restore it from a copy") from error
    if not names:
        raise InputError(f"'{path}' holds no study: it is empty or no Optuna journal; it was left as it is")
    return list(dict.fromkeys(name for name in names if name is not None))


class Live:
    """An open study, shared by all browsers of the server."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._storage = open_study(source.storage, source.name)
        self._features: dict[str, Features] = {}
        self._version = 0
        self._trials: Trials | None = None

    def poll(self) -> int:
        """Read what is new and return the version of what is known; it changes with any news.

        Raises:
            InputError: the storage cannot be read any more.
        """
        with self._lock:
            changed = self._storage.refresh()
            if changed is None or changed:
                self._version += 1
                self._trials = None
            return self._version

    def trials(self) -> Trials:
        """Return the trials as of the last poll."""
        with self._lock:
            if self._trials is None:
                self._trials = read(self._storage.table, self._features)
            return self._trials

    def finished(self) -> int:
        """Return how many trials have ended as of the last poll."""
        with self._lock:
            return sum(state not in (RUNNING, WAITING) for state in self._storage.table.state)

    def attributes(self, number: int) -> dict[str, Any]:
        """Return all user attributes of a trial as of the last poll."""
        with self._lock:
            return self._storage.table.attributes_of(number)


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
