"""Which studies there are, and their trials as columns: read once, then only what is new.

Journal files are searched for the studies they hold without replaying them. An open study is kept by the server, one
for all browsers, and reads on from where it stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from piip_explore.dashboard import trials
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import Traits, Trials
from piip_explore.errors import InputError
from piip_explore.search.columns import Reader
from piip_explore.search.storage import Note, StorageURL, parse, study_names

EXAMPLE = Path(__file__).parent / "example"
"""Studies that come with the package, shown where there are no others."""


@dataclass(frozen=True)
class Source:
    """Where a study lives. `label` names it among all that may be opened; `example`: it comes with the package."""

    storage: StorageURL
    name: str
    label: str
    example: bool = False


def find(options: Options) -> tuple[list[Source], list[str]]:
    """Return the studies of all storages, and a sentence for each storage that cannot be read."""
    found: list[Source] = []
    problems: list[str] = []
    for address in (each for storage in options.storages for each in _addresses(storage)):
        try:
            storage = parse(address)
            found += [Source(storage, name, name) for name in study_names(storage)]
        except InputError as error:  # a file that is not a study hides no other
            problems.append(str(error))
    if not found and not problems:
        examples = [parse(path) for path in sorted(EXAMPLE.glob("*.journal"))]
        found = [Source(storage, name, name, example=True) for storage in examples for name in study_names(storage)]
    names = [source.name for source in found]
    return [replace(source, label=_label(source, names)) for source in found], problems


def _addresses(address: str) -> list[str | Path]:
    """Return the storages that an address means: a folder stands for the journals in it."""
    path = Path(address)
    if "://" not in address and path.is_dir():
        files = [file for file in sorted(path.glob("*.journal")) if not file.name.startswith(".")]
        # A search that starts makes its file before it writes to it.
        return [file for file in files if not file.is_file() or file.stat().st_size]
    if address == Options.storages[0] and not path.exists():
        return []  # the folder that a first search will make
    return [address]


def _label(source: Source, names: list[str]) -> str:
    storage = source.storage
    place = f" ({storage.path.name if storage.path else storage.shown})" if names.count(source.name) > 1 else ""
    return f"{source.name}{place}{' (example)' if source.example else ''}"


class Live:
    """An open study, shared by all browsers of the server."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._reader = Reader(source.storage, source.name)
        self._features: dict[str, Traits] = {}
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
            return self._reader.store.alive(lease)
        except OSError:
            return True  # what may not be read may be held

    def notes(self) -> dict[int, Note]:
        """Return the notes on trials by their numbers, as they were when the study was last read."""
        with self._lock:
            return self._reader.store.notes()

    def write_note(self, number: int, words: str, version: int) -> None:
        """Write the note on a trial in place of its version `version`.

        Raises:
            InputError: somebody else has written it meanwhile, or nothing can be written.
        """
        with self._lock:
            self._reader.store.write_note(number, words, version)

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
