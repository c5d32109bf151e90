"""Parts that were traced once, on disk: one small file each, valid for one version of the code.

Any number of processes may write at once; a part whose file is torn, foreign or damaged is traced again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from pathlib import Path

from piip_explore import cache, phases
from piip_explore.code_hash import code_hash
from piip_explore.cost.counts import Counts, from_json, to_json
from piip_explore.cost.parts import Part

_CODE = (
    "catalog",
    "plugins.py",
    "design",
    "models",
    "ops",
    "cost/counts.py",
    "cost/parts.py",
    "cost/part_traces.py",
    "cost/saved.py",
    "cost/trace.py",
)


@functools.cache
def counted(part: Part) -> dict[str, Counts]:
    """Return the named counts of a part (`part_traces.traced`), from disk where this version of the code has them."""
    key = repr(part)
    path = folder() / f"{type(part).__name__}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.counts"
    content = cache.read(path, key)
    if content is not None:
        return from_json(json.loads(content))
    phases.tell("counting FLOPs of parts that were never counted here (once, then cached)")
    from piip_explore.cost.part_traces import traced  # loads torch

    counts = traced(part)
    with contextlib.suppress(OSError):  # a folder that cannot be written costs time, not the answer
        cache.write(path, key, json.dumps(to_json(counts)).encode())
    return counts


def folder() -> Path:
    """Return the folder of the parts that this version of the code has traced."""
    return cache.folder() / "parts" / code_hash(*_CODE, libraries=("torch", "fvcore"))
