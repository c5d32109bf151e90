"""Pictures of what runs predicted: a file per trial beside the study, as checkpoints and logs are."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from piip_explore.files import write_whole
from piip_explore.search.storage import StorageURL
from piip_explore.search.storage.url import file_name

_log = logging.getLogger(__name__)


def folder(storage: StorageURL, study: str) -> Path:
    """Return the folder of a study's pictures; other studies of a journal have others."""
    return storage.files(study) / "pictures" / file_name(study)


def write(storage: StorageURL, study: str, trial: int, picture: bytes) -> None:
    """Keep the picture of a trial, a WebP file; one that cannot be written is warned of, and costs no trial."""
    try:
        write_whole(folder(storage, study) / f"{trial}.webp", lambda path: path.write_bytes(picture))
    except OSError as error:
        _log.warning("the picture of trial %d could not be written: %s", trial, error)


def read(storage: StorageURL, study: str, trial: int) -> bytes:
    """Return the picture of a trial, empty if there is none on this machine."""
    try:
        return (folder(storage, study) / f"{trial}.webp").read_bytes()
    except OSError:
        return b""


def copy(storage: StorageURL, study: str, to: StorageURL, name: str) -> None:
    """Copy the pictures of a study, if it has any here, for its copy under a name; a failure is warned of."""
    if folder(storage, study).is_dir():
        try:
            shutil.copytree(folder(storage, study), folder(to, name), dirs_exist_ok=True)
        except OSError as error:
            _log.warning("the pictures of study '%s' could not be copied: %s", study, error)


def rename(storage: StorageURL, study: str, name: str) -> None:
    """Give the pictures of a study to the study under its new name."""
    if folder(storage, study).is_dir():
        folder(storage, study).rename(folder(storage, name))


def delete(storage: StorageURL, study: str) -> None:
    """Delete the pictures of a study."""
    shutil.rmtree(folder(storage, study), ignore_errors=True)
