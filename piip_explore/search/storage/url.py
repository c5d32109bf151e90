"""Where a study lives: parsing of `--storage`, and a form of it that is safe to show."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from piip_explore.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_SECRET = re.compile(r"passw|:[^/@]*@", re.IGNORECASE)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EXPECTED = "expected a file such as studies/demo.journal, or postgresql+psycopg://user@host/database"


@dataclass(frozen=True)
class StorageURL:
    """A parsed storage address. `str()` and `repr()` never hold a password; `secret` is the real address.

    `path` is the journal file, None for a database.
    """

    shown: str
    secret: str = field(repr=False)
    path: Path | None = None

    def __str__(self) -> str:
        return self.shown

    def files(self, study: str) -> Path:
        """Return the folder for what a study has beside its storage: checkpoints, logs, notes of its searches.

        It is beside a journal, and in `studies` for a database. A name that cannot be a file's is replaced by its hash.
        """
        if self.path is not None:
            return self.path.with_name(self.path.name + ".files")
        return Path("studies") / f"{file_name(study)}.files"

    def missing(self, settings: Mapping[str, str | int]) -> dict[str, str | int]:
        """Return the connection settings that the address does not name itself."""
        from sqlalchemy.engine import make_url

        named = make_url(self.secret).query
        return {name: value for name, value in settings.items() if name not in named}

    def redact(self, text: str) -> str:
        """Return `text` with the address's password, in any of its spellings, replaced by `***`."""
        for spelling in _passwords(self.secret):
            text = text.replace(spelling, "***")
        return text


def file_name(study: str) -> str:
    """Return a study's name, or twelve digits of its hash where no file may have that name."""
    return study if _FILE_NAME.fullmatch(study) else hashlib.sha256(study.encode()).hexdigest()[:12]


def parse(text: str | Path | StorageURL) -> StorageURL:
    """Parse a storage address: a path (Optuna journal file) or `postgresql[+psycopg]://...`.

    Raises:
        InputError: another kind of address; the sentence never shows a password.
    """
    if isinstance(text, StorageURL):
        return text
    address = str(text)
    if "://" not in address:
        if not address:
            raise InputError(f"an empty storage address: {_EXPECTED}")
        if isinstance(text, str) and _SECRET.search(address):  # a libpq connection string, or an address with a slip
            raise InputError(f"a storage address that looks like one with a password, but is not a URL: {_EXPECTED}")
        if Path(address).is_dir():
            raise InputError(f"'{address}' is not a file but a folder: {_EXPECTED}")
        return StorageURL(address, address, Path(address))
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    scheme = address.partition("://")[0]
    try:
        url = make_url(address)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise InputError(f"cannot read the storage address '{scheme}://...': {_EXPECTED}") from None
    if backend == "sqlite":
        raise InputError(
            "SQLite holds no studies, it claims queued trials twice: name a journal file such as studies/demo.journal "
            "(docs/search.md says how to copy a study from SQLite)"
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername == "postgresql+psycopg":
        return StorageURL(_show(url), url.render_as_string(hide_password=False))
    raise InputError(f"storage '{scheme}://' is not supported: {_EXPECTED}")


def _show(url: URL) -> str:
    hidden = {key: "***" if "pass" in key.lower() else value for key, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)


def _passwords(secret: str) -> list[str]:
    if "://" not in secret:
        return []
    from sqlalchemy.engine import make_url

    url = make_url(secret)
    plain = [str(value) for key, value in url.query.items() if "pass" in key.lower()]
    plain += [str(url.password)] if url.password else []
    raw = re.match(r"[^/]*://[^:/@]*:(.*)@", secret)
    spellings = {form(word) for word in plain for form in (str, quote, quote_plus)} | ({raw[1]} if raw else set())
    return sorted((word for word in spellings if word), key=len, reverse=True)
