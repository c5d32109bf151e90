"""What a proxy run found, with everything that it depends on."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from piip_explore.errors import InputError

Status = Literal["ok", "diverged", "infeasible"]


@dataclass(frozen=True)
class Conditions:
    """What a score was measured under: two scores compare if these agree."""

    preset: str
    preset_hash: str
    device: str
    code_version: str
    backend: str
    torch: str


@dataclass(frozen=True)
class Score:
    """The outcome of training one design on a proxy task.

    `value` is the validation metric (in percent, higher is better; NaN unless status is "ok") and `standard_error` its
    standard error over `seeds`, None with a single seed. `seconds` and `peak_memory` (bytes) are sums and maxima over
    the seeds, `train_loss` pairs of (samples seen, smoothed loss) of the first. `details` holds further metrics of the
    task (per class, per object size) and of the run (samples per second, MFU).
    """

    value: float
    standard_error: float | None
    seeds: tuple[int, ...]
    metric: str
    fidelity: float
    seconds: float
    peak_memory: int
    train_loss: tuple[tuple[int, float], ...]
    status: Status
    conditions: Conditions
    message: str = ""
    details: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the score as JSON-ready values (NaN as null)."""
        values = asdict(self)
        values["value"] = None if math.isnan(self.value) else self.value
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Score:
        """Rebuild a score from `to_dict`'s values, also after a trip through JSON."""
        values = dict(values)
        values["value"] = math.nan if values["value"] is None else values["value"]
        values["seeds"] = tuple(values["seeds"])
        values["train_loss"] = tuple((int(seen), float(loss)) for seen, loss in values["train_loss"])
        values["conditions"] = Conditions(**values["conditions"])
        return cls(**values)


def combine(scores: Sequence[Score]) -> Score:
    """Return the mean of runs that differ in their seed alone, with its standard error.

    A run that is not "ok" decides the result: its status and message are returned, with no value.

    Raises:
        InputError: no scores, or scores of different conditions, metric or fidelity.
    """
    if not scores:
        raise InputError("no scores to combine")
    first = scores[0]
    if any((s.conditions, s.metric, s.fidelity) != (first.conditions, first.metric, first.fidelity) for s in scores):
        raise InputError("these scores were measured under different conditions: only seeds of one preset combine")
    failed = next((score for score in scores if score.status != "ok"), None)
    values = [score.value for score in scores]
    shared = set.intersection(*(set(score.details) for score in scores))
    return replace(
        failed or first,
        value=math.nan if failed else statistics.fmean(values),
        standard_error=None if failed or len(scores) < 2 else statistics.stdev(values) / math.sqrt(len(scores)),
        seeds=tuple(seed for score in scores for seed in score.seeds),
        seconds=sum(score.seconds for score in scores),
        peak_memory=max(score.peak_memory for score in scores),
        train_loss=first.train_loss,
        details={name: statistics.fmean(score.details[name] for score in scores) for name in sorted(shared)},
    )


def content_hash(value: Any) -> str:
    """Return twelve hexadecimal digits that name a JSON-ready value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@cache
def code_version() -> str:
    """Hash of the code that decides a score: the rooms that build, train and feed the models."""
    package = Path(__file__).parent.parent
    files = [package / "catalog.py"]
    files += [path for room in ("design", "models", "ops", "proxy") for path in sorted((package / room).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
