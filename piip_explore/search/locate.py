"""Which study a person means."""

from __future__ import annotations

from pathlib import Path

from piip_explore.errors import InputError
from piip_explore.search.launch import default_storage
from piip_explore.search.storage import parse, study_names


def study(name: str | None, storage: str | None) -> tuple[str, str]:
    """Return the storage and the name of a study from what was given of them.

    A name alone means `studies/NAME.journal`; a path or an address as the name means that storage, whatever the other
    says (the environment may); a storage alone its only study; nothing at all the only file in `studies`. A folder as
    the storage takes the place of `studies`.

    Raises:
        InputError: nothing, or more than one study, fits.
    """
    if name is not None and (_is_path(name) or (storage is None and Path(name).is_file())):
        storage, name = name, None
    if name is not None:
        storage = storage_of(name, storage)
    elif storage is None or is_folder(storage):
        folder = Path(storage or "studies")
        files = journals(folder)
        if len(files) != 1:
            found = ", ".join(file.stem for file in files) or "none here"
            raise InputError(f"name the study, or its storage with --storage (in {folder}: {found})")
        storage = str(files[0])
    if name is not None:
        return storage, name
    names = study_names(storage)
    if len(names) == 1:
        return storage, names[0]
    if not names:
        raise InputError(f"{parse(storage)} holds no study")
    raise InputError(f"{parse(storage)} holds several studies, name one: {', '.join(sorted(names))}")


def storage_of(name: str, storage: str | None) -> str:
    """Return where the study of this name is: in the storage given, in a folder given, or in `studies`."""
    if storage is None:
        return default_storage(name)
    return default_storage(name, storage) if is_folder(storage) else storage


def is_folder(storage: str) -> bool:
    """Tell whether a storage is a folder of journal files."""
    return "://" not in storage and Path(storage).is_dir()


def journals(folder: Path) -> list[Path]:
    """Return the journal files of a folder, without those that are hidden."""
    return [path for path in sorted(folder.glob("*.journal")) if not path.name.startswith(".")]


def _is_path(name: str) -> bool:
    """Tell whether no study could have this name."""
    return "/" in name or (name.endswith(".journal") and Path(name).is_file())
