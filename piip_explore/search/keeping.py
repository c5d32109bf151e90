"""Studies as things: listed, copied between storages, renamed, deleted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piip_explore.errors import InputError
from piip_explore.files import write_named
from piip_explore.search import pictures
from piip_explore.search.launch import check_name
from piip_explore.search.ledger import lease_of
from piip_explore.search.locate import is_folder, journals, storage_of
from piip_explore.search.storage import (
    COMPLETE,
    FAIL,
    RUNNING,
    NoSuchStudyError,
    StorageURL,
    StudyStorage,
    parse,
    study_names,
)
from piip_explore.terminal import aligned, printable

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_COPYING = "piip_explore:copying"
"""A study's user attribute while a copy into it has not ended."""


@dataclass(frozen=True)
class Kept:
    """A study as a list shows it: its trials by state, and whether a search of it runs."""

    study: str
    storage: str
    space: str
    score: str
    complete: int
    failed: int
    trials: int
    runs: bool


def storages(storage: str | None) -> list[StorageURL]:
    """Return what to look for studies in: the storage that is named, else the journal files in `studies`."""
    if storage is not None and not is_folder(storage):
        return [parse(storage)]
    return [parse(path) for path in journals(Path(storage or "studies"))]


def listed(storage: str | None) -> tuple[list[Kept], list[str]]:
    """Return the studies of a storage or folder, and a sentence for every file that cannot be read."""
    found, problems = [], []
    for url in storages(storage):
        try:
            found += [_kept(url, name) for name in study_names(url)]
        except InputError as error:
            problems.append(str(error))
    return found, problems


def _kept(url: StorageURL, name: str) -> Kept:
    store = StudyStorage(url, name)
    try:
        table, states = store.table, store.table.state
        said = table.study_attributes
        evaluator = said.get("evaluator") or {}
        score = evaluator.get("preset") or evaluator.get("kind") or "?"
        space = (said.get("space") or {}).get("name", "?")
        ended = sum(state == COMPLETE for state in states), sum(state == FAIL for state in states)
        return Kept(name, str(url), str(space), str(score), *ended, len(states), bool(_running(store)))
    finally:
        store.leave()


def _running(store: StudyStorage) -> list[int]:
    """Return the trials that a live search evaluates."""
    running = [number for number, state in enumerate(store.table.state) if state == RUNNING]
    return [number for number in running if (lease := lease_of(store.table, number)) and store.alive(lease)]


def listed_text(found: list[Kept]) -> str:
    """Return the list as lines for a terminal."""
    if not found:
        return "no studies here: `piip-explore search demo` makes one in studies/"
    rows = [("study", "done", "failed", "space", "scored by", "storage", "")]
    rows += [
        (one.study, str(one.complete), str(one.failed), one.space, one.score, one.storage, "runs" * one.runs)
        for one in found
    ]
    return printable("\n".join(aligned(rows, left=len(rows[0]))))


def to_json(found: list[Kept]) -> list[dict[str, Any]]:
    """Return the list as JSON-ready values."""
    return [asdict(one) for one in found]


def copy(storage: str, study: str, target: str, name: str) -> int:
    """Copy a study with everything into another storage, or under another name; return how many trials it has.

    What runs in the study waits in the copy. A copy into a new file is there whole or not at all.

    Raises:
        InputError: there is no such study, or one of this name in the target already.
    """
    check_name(name)
    to = parse(storage_of(name, target))
    _check_free(to, name)
    count = _copy_trials(storage, study, to, name)
    pictures.copy(parse(storage), study, to, name)
    return count


def _copy_trials(storage: str, study: str, to: StorageURL, name: str) -> int:
    if to.path is None or to.path.exists():
        return _fill(storage, study, to, name)
    counts: list[int] = []
    write_named(to.path, lambda partial: counts.append(_fill(storage, study, parse(partial), name)))
    return counts[0]


def _check_free(to: StorageURL, name: str) -> None:
    try:
        store = StudyStorage(to, name)
    except NoSuchStudyError:
        return
    unfinished = bool(store.table.study_attributes.get(_COPYING))
    store.leave()
    if unfinished:  # a copy that was killed
        _drop(to, name)
    else:
        raise InputError(f"{to} holds a study '{name}' already: choose another name")


def _fill(storage: str, study: str, to: StorageURL, name: str) -> int:
    with_all = StudyStorage(storage, study)
    try:
        optuna, number = _reading(with_all)
        directions = [direction.name.lower() for direction in optuna.get_study_directions(number)]
        copied = StudyStorage(to, name, directions)
        with copied.lock():
            copied.set_study_attribute(_COPYING, str(with_all.url))
            trials = optuna.get_all_trials(number, deepcopy=False)
            for trial in trials:
                copied.take_over(trial)
            for key, value in optuna.get_study_user_attrs(number).items():
                copied.set_study_attribute(key, value)
            copied.set_system_attributes(optuna.get_study_system_attrs(number))
            copied.set_study_attribute(_COPYING, "")
        copied.settle()
        copied.leave()
        return len(trials)
    finally:
        with_all.leave()


def _reading(store: StudyStorage) -> tuple[BaseStorage, int]:
    """Return Optuna's own storage to read a study with all of its trials, and the study's number there."""
    from optuna import logging
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    logging.set_verbosity(logging.WARNING)
    if store.url.path is None:
        return store.whole()
    storage = JournalStorage(JournalFileBackend(str(store.url.path)))
    return storage, storage.get_study_id_from_name(store.study)


def rename(storage: str, study: str, name: str) -> StorageURL:
    """Rename a study; a journal file that is named like it is renamed too. Return where it is then.

    Raises:
        InputError: there is no such study, a search of it runs, or the new name is taken.
    """
    url = parse(storage)
    check_name(name)
    _check_idle(url, study, "renamed")
    if url.path is None or url.path.stem != study or study_names(url) != [study]:
        copy(storage, study, storage, name)
        _forget(url, study)
        return url
    path = url.path.with_name(f"{name}.journal")
    if path.exists():
        raise InputError(f"'{path}' exists already: choose another name")
    to = parse(path)
    _copy_trials(storage, study, to, name)
    if url.files(study).is_dir():
        url.files(study).rename(to.files(name))
        pictures.rename(to, study, name)
    _forget(url, study)
    return to


def delete(storage: str, study: str) -> None:
    """Delete a study, with its checkpoints and logs; a journal file that holds nothing else is removed.

    Raises:
        InputError: there is no such study, or a search of it runs.
    """
    url = parse(storage)
    _check_idle(url, study, "deleted")
    _forget(url, study)


def _check_idle(url: StorageURL, study: str, done: str) -> None:
    store = StudyStorage(url, study)
    running = _running(store)
    store.leave()
    if running:
        raise InputError(f"a search of study '{study}' runs: it can be {done} when that has ended")


def _forget(url: StorageURL, study: str) -> None:
    if url.path is not None and study_names(url) == [study]:
        for path in _beside(url.path):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return
    _drop(url, study)
    pictures.delete(url, study)
    if url.path is None:
        shutil.rmtree(url.files(study), ignore_errors=True)


def _drop(url: StorageURL, study: str) -> None:
    """Delete a study from a storage that may hold others."""
    store = StudyStorage(url, study)
    with suppress(InputError):  # whoever reads on finds the study gone
        store.delete()
    store.leave()
    if study in _names(url):
        raise InputError(f"study '{study}' could not be deleted from {url}")


def _names(url: StorageURL) -> list[str]:
    """Return a storage's studies; a journal from which the last one was deleted has none."""
    try:
        return study_names(url)
    except InputError:
        return []


def _beside(journal: Path) -> Iterator[Path]:
    """Yield a journal and what belongs to it alone."""
    yield journal
    for suffix in (".files", ".torn", ".lock"):
        path = journal.with_name(journal.name + suffix)
        if path.exists():
            yield path
