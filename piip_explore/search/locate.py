"""Which study a person means."""

from __future__ import annotations

from pathlib import Path

from piip_explore.errors import InputError
from piip_explore.search.launch import default_storage
from piip_explore.search.storage import parse, study_names


def study(name: str | None, storage: str | None) -> tuple[str, str]:
    """Return the storage and the name of a study from what was given of them.

    A name alone means `studies/NAME.journal`; a path or an address as the name means that storage, whatever the other
    says (the environment may); a storage alone its only study; nothing at all the only file in `studies`.

    Raises:
        InputError: nothing, or more than one study, fits.
    """
    if name is not None and (_is_path(name) or (storage is None and Path(name).is_file())):
        storage, name = name, None
    elif storage is None and name is not None:
        storage = default_storage(name)
    if storage is None:
        files = sorted(Path("studies").glob("*.journal"))
        if len(files) != 1:
            found = ", ".join(file.stem for file in files) or "none here"
            raise InputError(f"name the study, or its storage with --storage (in ./studies: {found})")
        storage = str(files[0])
    if name is not None:
        return storage, name
    names = study_names(storage)
    if len(names) == 1:
        return storage, names[0]
    if not names:
        raise InputError(f"{parse(storage)} holds no study")
    raise InputError(f"{parse(storage)} holds several studies, name one: {', '.join(sorted(names))}")


def _is_path(name: str) -> bool:
    """Tell whether no study could have this name."""
    return "/" in name or (name.endswith(".journal") and Path(name).is_file())
