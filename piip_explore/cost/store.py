"""Parts that were counted once, on disk: one small file each, valid for one version of the code.

The folder is `$PIIP_EXPLORE_CACHE`, else `piip-explore` in the user's cache folder; it may be deleted at any time.
Files are written beside their place and renamed, so that any number of processes may write at once; a file that is
torn, foreign or unreadable is counted again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import piip_explore
from piip_explore.cost.counts import Counts, from_json, to_json
from piip_explore.files import write_whole

_CODE = ("catalog.py", "design", "models", "ops", "cost/counts.py", "cost/measure.py", "cost/trace.py")


@cache
def part(name: str, *arguments: Any) -> dict[str, Counts]:
    """Return `cost.measure.<name>(*arguments)`, from disk where this version of the code has counted it before.

    The arguments are values whose `repr` says all there is to know about them.
    """
    key = f"{name}{arguments!r}"
    path = folder() / code_version() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    kept = _read(path, key)
    if kept is None:
        kept = getattr(import_module("piip_explore.cost.measure"), name)(*arguments)
        with contextlib.suppress(OSError):  # a folder that cannot be written costs time, not the answer
            write_whole(path, lambda partial: partial.write_text(json.dumps({"part": key, "counts": to_json(kept)})))
    return kept


def folder() -> Path:
    """Return the folder of counted parts; the environment is asked every time."""
    if chosen := os.environ.get("PIIP_EXPLORE_CACHE"):
        return Path(chosen).expanduser() / "parts"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "piip-explore" / "parts"


@cache
def code_version() -> str:
    """Return a name for all that a count depends on: the sources that are traced and that trace, torch and fvcore."""
    root = Path(piip_explore.__file__).parent
    digest = hashlib.sha256()
    for item in _CODE:
        for path in sorted((root / item).rglob("*.py")) if (root / item).is_dir() else [root / item]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for library in ("torch", "fvcore"):
        digest.update(metadata.version(library).encode())
    return digest.hexdigest()[:16]


def _read(path: Path, key: str) -> dict[str, Counts] | None:
    try:
        data = json.loads(path.read_text())
        return from_json(data["counts"]) if data["part"] == key else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
