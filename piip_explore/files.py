"""Files that are there whole or not at all, whatever stops the writing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written under a name of its own beside `path`, with the same suffix, and move it into its place.

    The folder is made if it is not there.

    Args:
        path: where the file goes; what lies there stays until the new one is whole.
        write: writes the file to the path that it is given.

    Raises:
        OSError: the folder cannot be made or written to; whatever `write` raises goes on too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        write(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
