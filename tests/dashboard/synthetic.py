"""Studies for tests and benchmarks: real designs of a space with invented scores, written as a journal in one go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from piip_explore.design import Design
from piip_explore.search.record import Record
from piip_explore.space import SearchSpace

SPACE = """
name: synthetic
pool:
  models: [vit_tiny, vit_small, vit_base]
  branches: [2, 3]
  resolutions: {from: 112, to: 1120, step: 112}
  windows: [none, w14]
interactions: [2, 3, 4, 6, 12]
direction: [both, up]
merge: [conv, linear]
constraints: {parameter_inverted: yes}
"""


@cache
def space() -> SearchSpace:
    return SearchSpace.parse(SPACE, "synthetic")


def record() -> Record:
    return Record(
        space={"name": "synthetic", "axes": {}, "constraints": {}, "size": space().size},
        choices={},
        evaluator={"kind": "replay", "metric": "mIoU", "preset": "synthetic", "preset_hash": "0" * 12},
    )


def cost(design: Design) -> float:
    """About the GFLOPs of the branches: exact costs are slow for 100,000 designs and beside the point here."""
    return sum(branch.grid**2 * branch.spec.weights for branch in design.branches) / 1e9


def score(design: Design, gflops: float, noise: float) -> float:
    inner = sum(
        1.0 for a, b in zip(design.branches, design.branches[1:], strict=False) if a.resolution > 2 * b.resolution
    )
    return 30 + 12 * np.log10(gflops + 1) + 1.5 * inner + noise


def trial_line(number: int, design: Design, rng: np.random.Generator, **changed: Any) -> dict[str, Any]:
    """Return the journal operation of one finished trial; `changed` replaces fields of it."""
    gflops = cost(design)
    value = float(score(design, gflops, rng.normal()))
    attributes: dict[str, Any] = {
        "design": str(design),
        "id": design.id,
        "fidelity": 1.0,
        "rung": 0,
        "seed": 0,
        "gflops_published": gflops,
        "gflops_built": gflops * 1.07,
        "params": float(sum(branch.spec.weights for branch in design.branches)),
        "standard_error": 0.4,
        "seconds": 30.0,
        "peak_memory": 2**30,
        "worker": {"host": "machine", "pid": 4000 + number % 4, "device": "cpu", "lease": "0"},
        "conditions": {"device": "cpu", "code_version": "test", "kernel_backend": "torch", "preset": "synthetic"},
    }
    line = {
        "op_code": 4, "worker_id": "w", "study_id": 0, "state": 1, "value": None, "values": [value, gflops],
        "datetime_start": f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000000",
        "datetime_complete": f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.500000",
        "distributions": {}, "params": {}, "user_attrs": attributes, "system_attrs": {}, "intermediate_values": {},
    }  # fmt: skip
    line.update({key: value for key, value in changed.items() if key != "user_attrs"})
    attributes.update(changed.get("user_attrs", {}))
    return line


def write(
    path: Path, name: str, trials: int, *, seed: int = 0, attributes: Mapping[str, Any] | None = None
) -> list[Design]:
    """Write a journal of one study and return its designs; every 20th trial failed, as studies have it."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(space().size, trials, replace=trials > space().size)
    designs = [space().design(int(row)) for row in rows]
    lines: list[dict[str, Any]] = [
        {"op_code": 0, "worker_id": "w", "study_name": name, "directions": [2, 1]},
        {
            "op_code": 2,
            "worker_id": "w",
            "study_id": 0,
            "user_attr": {**record().to_attributes(), **(attributes or {})},
        },
    ]
    for number, design in enumerate(designs):
        failed = (
            {"state": 3, "values": None, "user_attrs": {"failure": "CUDA out of memory"}} if number % 20 == 19 else {}
        )
        lines.append(trial_line(number, design, rng, **failed))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return designs
