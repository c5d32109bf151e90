"""The spaces that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from piip_explore.errors import InputError, expected

_PACKAGE = Path(__file__).parents[1]


def folder() -> Path:
    """Return the folder of the space files: inside an installed package, beside it in a checkout."""
    installed = _PACKAGE / "search_spaces"
    return installed if installed.is_dir() else _PACKAGE.parent / "search_spaces"


def shipped() -> dict[str, Path]:
    """Return the files of the spaces that come with the package, by name."""
    return {path.stem: path for path in sorted(folder().glob("*.yaml"))}


def locate(space: str | Path) -> Path:
    """Return the file that a path or the name of a space that comes with the package means.

    Raises:
        InputError: there is neither such a file nor such a name.
    """
    path, known = Path(space), shipped()
    if path.exists() and not path.is_dir():  # a pipe too, such as a shell's <(...)
        return path
    if str(space) in known:
        return known[str(space)]
    reason = "it is a folder" if path.is_dir() else "no such file"
    raise InputError(f"cannot read the space '{space}': {reason}; {expected(path.stem, known)}")
