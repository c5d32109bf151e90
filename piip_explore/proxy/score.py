"""The result of a proxy run, with everything that it depends on."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from piip_explore.code_hash import code_hash
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
    standard error over `seeds`, None with a single seed. `seconds` (of training; of validation where nothing was
    trained) and `peak_memory` (bytes) are sums and maxima over the seeds. The first seed gives `train_loss`, pairs of
    (samples seen, smoothed loss), `metric_curve`, pairs of (samples seen, metric on a few held-out samples), and
    `picture`, a WebP file of predictions (`piip_explore.proxy.picture`), empty if there is none. `details` holds
    further metrics of the task (per class, per object size) and of the run (samples per second, MFU). `notes` say which
    differences from other designs the preset does not keep: designs that differ only in these get the same score.
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
    notes: tuple[str, ...] = ()
    details: dict[str, float] = field(default_factory=dict)
    metric_curve: tuple[tuple[int, float], ...] = ()
    picture: bytes = field(default=b"", repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the score as JSON-ready values (what is not a number as null)."""
        values: dict[str, Any] = null_for_nan(asdict(self))
        return values | {"picture": base64.b64encode(self.picture).decode()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Score:
        """Rebuild a score from `to_dict`'s values, also after a trip through JSON."""
        values = dict(values)
        values["value"] = _nan_for_null(values["value"])
        values["seeds"] = tuple(values["seeds"])
        for curve in ("train_loss", "metric_curve"):
            values[curve] = tuple((int(seen), _nan_for_null(value)) for seen, value in values.get(curve, ()))
        values["picture"] = base64.b64decode(values.get("picture", ""))
        values["details"] = {name: _nan_for_null(value) for name, value in values.get("details", {}).items()}
        values["notes"] = tuple(values.get("notes", ()))
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


def null_for_nan(value: Any) -> Any:
    """Return nested JSON-ready values with every float that strict JSON cannot say (NaN, infinities) as None."""
    if isinstance(value, dict):
        return {key: null_for_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nan_for_null(value: float | None) -> float:
    return math.nan if value is None else float(value)


def content_hash(value: Any) -> str:
    """Return twelve hexadecimal digits that name a JSON-ready value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@cache
def code_version() -> str:
    """Hash of the code that decides a score: the rooms that build, train and feed the models.

    This room counts without `validity`, which judges scores and makes none.
    """
    room = Path(__file__).parent
    names = [path.name for path in sorted(room.iterdir()) if path.is_dir() or path.suffix == ".py"]
    mine = [f"proxy/{name}" for name in names if name not in ("validity", "__pycache__")]
    return code_hash("catalog", "datasets", "design", "models", "ops", *mine)
