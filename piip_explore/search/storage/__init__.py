"""Where studies live: Optuna journal files, PostgreSQL, SQLite; one contract for all (`base.StudyStorage`).

table       all trials of a study as growing columns
url         what `--storage` means, without its password
journal     a study in a journal file: `lines` is the file, `replay` its meaning, `locks` its locks and leases
relational  a study in a database: `server` is the connection, `schema` Optuna's tables
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from piip_explore.search.storage.base import NewTrial, NoSuchStudyError, StudyStorage
from piip_explore.search.storage.table import COMPLETE, FAIL, PRUNED, RUNNING, STATES, WAITING, Table
from piip_explore.search.storage.url import StorageURL, parse

__all__ = [
    "COMPLETE",
    "FAIL",
    "PRUNED",
    "RUNNING",
    "STATES",
    "WAITING",
    "NewTrial",
    "NoSuchStudyError",
    "StorageURL",
    "StudyStorage",
    "Table",
    "open_study",
    "parse",
    "study_names",
]


def open_study(storage: str | Path | StorageURL, study: str, directions: Sequence[str] | None = None) -> StudyStorage:
    """Open the study named `study`; with `directions` ("maximize", "minimize" per objective) create it if missing.

    Raises:
        InputError: the storage cannot be read, or has no such study; nothing is changed.
    """
    url = parse(storage)
    if url.kind == "journal":
        from piip_explore.search.storage.journal import JournalStorage

        return JournalStorage(url, study, directions)
    from piip_explore.search.storage.relational import RelationalStorage

    return RelationalStorage(url, study, directions)


def study_names(storage: str | Path | StorageURL) -> list[str]:
    """Return the names of a storage's studies.

    Raises:
        InputError: the storage cannot be read.
    """
    try:
        open_study(storage, "").leave()
    except NoSuchStudyError as error:
        if error.names is None:  # not even a file
            raise
        return error.names
    return [""]
