"""Files that save work, each verified when it is read: a damaged one costs time, never a wrong figure.

A file begins with a line that holds the SHA-256 of its key and content. The key says what the content was made from, so
that a file under the name of another is not believed either.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from piip_explore.errors import InputError
from piip_explore.files import write_whole

ENVIRONMENT_VARIABLE = "PIIP_EXPLORE_CACHE"


def folder() -> Path:
    """Return the folder of what may be deleted at any time: `$PIIP_EXPLORE_CACHE`, else the user's cache folder.

    The environment is asked every time. A user without a home folder gets one among the temporary files.

    Raises:
        InputError: the environment names the home folder of a user who does not exist.
    """
    if chosen := os.environ.get(ENVIRONMENT_VARIABLE):
        try:
            return Path(chosen).expanduser()
        except RuntimeError:
            raise InputError(f"{ENVIRONMENT_VARIABLE}={chosen}: there is no such home folder: name another") from None
    from platformdirs import user_cache_path

    try:
        return user_cache_path("piip-explore", appauthor=False)
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "piip-explore"


def read(path: Path, key: str) -> bytes | None:
    """Return the content that was written to `path` under `key`; None where it is missing, unreadable or damaged."""
    try:
        with path.open("rb") as file:
            header = file.readline(_HEADER_LENGTH)
            content = file.read()
    except OSError:
        return None
    return content if header == _header(key, content) else None


def write(path: Path, key: str, content: bytes) -> None:
    """Write content for `read` to return under the same key.

    Raises:
        OSError: the file cannot be written.
    """
    header = _header(key, content)

    def write_both(partial: Path) -> None:
        with partial.open("wb") as file:
            file.write(header)
            file.write(content)

    write_whole(path, write_both)


def _header(key: str, content: bytes) -> bytes:
    digest = hashlib.sha256(hashlib.sha256(key.encode()).digest())
    digest.update(content)
    return b"piip-explore sha256 " + digest.hexdigest().encode() + b"\n"


_HEADER_LENGTH = len(_header("", b""))
