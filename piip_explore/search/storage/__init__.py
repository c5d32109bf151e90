"""Where studies live: Optuna journal files and PostgreSQL, both written by Optuna and read as columns.

studystorage  one study, live: the same for both, whatever `medium` holds it
url           what `--storage` means, without its password
journal       a study in a journal file: our backend for Optuna's journal storage
journalfile   the file under it: whole lines, torn ones cut off
server        a study in PostgreSQL: Optuna's storage on a `connection` that is waited for, and a `serverlock`
reader        the only place that knows journal operations and database tables
table         all trials of a study as growing columns
leases        who runs trials; `locks` are locks on a file itself; `patience` is how long one waits for any of this
"""

from __future__ import annotations

from pathlib import Path

from piip_explore.search.storage.patience import LockLostError, WaitEndedError
from piip_explore.search.storage.reader.notes import Note
from piip_explore.search.storage.studystorage import NewTrial, NoSuchStudyError, StudyStorage
from piip_explore.search.storage.table import COMPLETE, FAIL, PRUNED, RECORD, RESULT, RUNNING, STATES, WAITING, Table
from piip_explore.search.storage.url import StorageURL, parse

__all__ = [
    "COMPLETE",
    "FAIL",
    "PRUNED",
    "RECORD",
    "RESULT",
    "RUNNING",
    "STATES",
    "WAITING",
    "LockLostError",
    "NewTrial",
    "NoSuchStudyError",
    "Note",
    "StorageURL",
    "StudyStorage",
    "Table",
    "WaitEndedError",
    "parse",
    "study_names",
]


def study_names(storage: str | Path | StorageURL) -> list[str]:
    """Return the names of a storage's studies.

    Raises:
        InputError: the storage cannot be read.
    """
    url = parse(storage)
    if url.path is not None:
        from piip_explore.search.storage.reader.names import journal_names

        if not url.path.exists():
            raise NoSuchStudyError(url, "", None)
        return journal_names(url.path)
    try:
        StudyStorage(url, "").leave()
    except NoSuchStudyError as error:
        return error.names or []
    return [""]
