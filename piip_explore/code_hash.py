"""Names for the code that a stored result depends on, so that no result outlives a change of it."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path


@cache
def code_hash(*sources: str, libraries: Sequence[str] = ()) -> str:
    """Return twelve hexadecimal digits over source files and the versions of libraries.

    Args:
        sources: modules (`plugins.py`) and folders (`models`) of this package; folders stand for all modules in them.
        libraries: installed distributions.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sources:
        for path in sorted((package / source).rglob("*.py")) if (package / source).is_dir() else [package / source]:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for library in libraries:
        digest.update(f"{library} {metadata.version(library)}\0".encode())
    return digest.hexdigest()[:12]


@cache
def package_hash(module: str) -> str:
    """Return twelve hexadecimal digits over the source files of the top-level package that a module is in.

    Raises:
        ModuleNotFoundError: there is no such package.
    """
    name = module.partition(".")[0]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named '{name}'", name=name)
    origin = Path(spec.origin)
    digest = hashlib.sha256()
    for path in sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]:
        digest.update(path.relative_to(origin.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
