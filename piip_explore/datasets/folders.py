"""What the kinds of data sets share: folders, the pictures in them, and reading many of them at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from piip_explore.datasets.dataset import Progress
from piip_explore.datasets.pictures import SUFFIXES
from piip_explore.errors import InputError

_THREADS = 8
_UNREAD = (".gif", ".jfif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".ppm", ".pgm", ".tga", ".svg", ".psd", ".dng")
"""Endings of pictures that are not read."""

T = TypeVar("T")
R = TypeVar("R")


def folder(path: Path, what: str) -> Path:
    """Return `path` if it is a folder.

    Raises:
        InputError: it is not there; the sentence says what it should hold.
    """
    if not path.is_dir():
        raise InputError(f"there is no folder '{path}': expected {what}")
    return path


def visible(path: Path) -> list[Path]:
    """Return what is in a folder, by name, without hidden files of systems (`._a.png`, `.ipynb_checkpoints`).

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read the folder '{path}': {error.strerror}") from None


def pictures_in(path: Path) -> list[Path]:
    """Return the pictures of a folder by name.

    Raises:
        InputError: there are none.
    """
    found = [entry for entry in visible(path) if entry.suffix.lower() in SUFFIXES]
    if not found:
        raise InputError(f"there are no pictures in '{path}': expected files ending in {', '.join(SUFFIXES)}")
    return found


def left_out(folders: Iterable[Path]) -> list[str]:
    """Return a remark on pictures of formats that are not read, if the folders hold any."""
    names = [entry for path in folders for entry in visible(path) if entry.suffix.lower() in _UNREAD]
    if not names:
        return []
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in Counter(p.suffix.lower() for p in names).most_common())
    return [f"pictures that are not read: {kinds}, the first '{names[0]}' (expected {', '.join(SUFFIXES)})"]


def in_threads(work: Callable[[T], R], items: Iterable[T], progress: Progress | None = None) -> list[R]:
    """Return `work` of every item, in order; the first exception is raised."""
    done: list[R] = []
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for result in pool.map(work, items):
            done.append(result)
            if progress is not None:
                progress(1)
    finally:
        pool.shutdown(cancel_futures=True)  # an interruption does not wait for items that have not begun
    return done


def named(path: Path) -> tuple[str, ...]:
    """Return the class names in a text file, one per line.

    Raises:
        InputError: it cannot be read, or has an empty line between names.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"'{path}' is not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from None
    names = tuple(line.strip() for line in lines)
    if "" in names:
        raise InputError(f"'{path}', line {names.index('') + 1} is empty: a line's number is its class")
    return names


def repeated(names: Iterable[str], what: str) -> list[str]:
    """Return a remark on the first name that several classes have."""
    return [f"several {what} are named {name!r}" for name, count in Counter(names).items() if count > 1][:1]


def present(paths: Iterable[Path]) -> None:
    """Raise `InputError` for the first picture that is not there."""

    def check(path: Path) -> None:
        try:
            path.stat()
        except FileNotFoundError:
            raise InputError(f"there is no picture '{path}'") from None
        except OSError as error:
            raise InputError(f"cannot read '{path}': {error.strerror}") from None
        except ValueError as error:  # a name that no file can have
            raise InputError(f"there is no picture {str(path)!r}: {error}") from None

    in_threads(check, paths)
