"""`piip-explore validate`: train published designs on the proxy and compare its ranking with theirs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from piip_explore import proxy
from piip_explore.errors import InputError
from piip_explore.files import write_whole
from piip_explore.proxy.presets import Preset
from piip_explore.proxy.score import Score, code_version
from piip_explore.proxy.validity import predictors, statistics
from piip_explore.proxy.validity.rows import Rows, as_trained, pairs

Told = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What a validation found: `rows` (one per design, with every predictor) and `statistics` per predictor."""

    rows: pd.DataFrame
    statistics: dict[str, dict[str, Any]]

    def to_json(self) -> str:
        """Return the statistics as JSON, what has no value as null."""
        return json.dumps(_without_nan(self.statistics), indent=1, allow_nan=False)


def run(rows: Rows, preset: Preset, seeds: Sequence[int], device: str, folder: Path, told: Told) -> Report:
    """Train every row's design under every seed, keep all runs in `folder`, and return the comparison.

    The recipe, its hash and the code version are in `folder` before the first run; runs that are already there, of
    the same recipe, are not repeated.

    Raises:
        InputError: `folder` holds a validation of another recipe, code or set of rows.
    """
    _promise(rows, preset, seeds, folder)
    scores = np.full((len(rows), len(seeds)), np.nan)
    dense = preset.task.needs != "labels"
    for column, seed in enumerate(seeds):
        for row, design in enumerate(rows.design):
            score = proxy.evaluate(
                as_trained(design, dense), preset, seed=seed, device=device, resume_dir=folder / "runs"
            )
            scores[row, column] = score.value
            told(f"seed {seed}, {row + 1}/{len(rows)}: {rows.name[row]} {_said(score)}")
            _keep(rows, seeds, scores, folder)
    report = compare(rows, scores, preset)
    write_whole(folder / "statistics.json", lambda path: path.write_text(json.dumps(report.statistics, indent=1)))
    write_whole(folder / "rows.csv", lambda path: report.rows.to_csv(path, index=False))
    return report


def compare(rows: Rows, scores: np.ndarray, preset: Preset) -> Report:
    """Return the statistics of the proxy's `scores` (rows, seeds) and of every cheap predictor."""
    free = [predictors.training_free(as_trained(d, preset.task.needs != "labels"), preset) for d in rows.design]
    columns = {
        "proxy": scores.mean(1),
        "FLOPs": rows.gflops,
        "params": predictors.params(rows.design),
        "ridge": predictors.ridge(rows.design, rows.value, rows.table),
        **{name: np.array([values[name] for values in free]) for name in free[0]},
    }
    found = {name: _statistics(rows, prediction) for name, prediction in columns.items()}
    found["proxy"]["seed-to-seed tau"] = {
        table: statistics.seed_to_seed_tau(scores[np.array(rows.table) == table]) for table in dict.fromkeys(rows.table)
    }
    frame = rows.frame().assign(**columns)
    return Report(frame.assign(**{f"seed {n}": scores[:, n] for n in range(scores.shape[1])}), found)


def _statistics(rows: Rows, prediction: np.ndarray) -> dict[str, Any]:
    every = pairs(rows)
    difficult = statistics.hard(every, rows.gflops)
    table = np.array(rows.table)
    per_table = {}
    for name in dict.fromkeys(rows.table):
        mine = table == name
        a, b, log_flops = prediction[mine], rows.value[mine], np.log(rows.gflops[mine])
        here = every[table[every.better] == name]
        per_table[name] = {
            "rows": int(mine.sum()),
            "pairs": len(here),
            "accuracy": statistics.accuracy(prediction, here),
            "tau": statistics.tau(a, b),
            "tau interval": statistics.tau_interval(a, b),
            "partial tau given log FLOPs": statistics.partial_tau(a, b, log_flops),
        }
    return {
        "questions": statistics.by_question(prediction, every),
        "hard pairs": statistics.accuracy(prediction, difficult),
        "number of pairs": {"all": len(every), "hard": len(difficult)},
        "tables": per_table,
        "macro over tables": float(np.nanmean([values["accuracy"] for values in per_table.values()])),
    }


def _promise(rows: Rows, preset: Preset, seeds: Sequence[int], folder: Path) -> None:
    """Write down what will be run, before it runs; refuse a folder that promises something else."""
    recipe = {
        "preset": preset.name,
        "preset_hash": preset.hash,
        "knobs": preset.knobs(),
        "code_version": code_version(),
        "seeds": list(seeds),
        "rows": dict(zip(rows.name, map(str, rows.design), strict=True)),
    }
    path = folder / "recipe.json"
    if path.exists():
        earlier = json.loads(path.read_text())
        differs = [key for key in recipe if earlier.get(key) != json.loads(json.dumps(recipe[key]))]
        if differs:
            raise InputError(f"{folder} holds a validation with another {differs[0]}: choose another folder with --out")
        return
    write_whole(path, lambda part: part.write_text(json.dumps(recipe, indent=1)))


def _keep(rows: Rows, seeds: Sequence[int], scores: np.ndarray, folder: Path) -> None:
    frame = rows.frame().assign(**{f"seed {seed}": scores[:, n] for n, seed in enumerate(seeds)})
    write_whole(folder / "scores.csv", lambda path: frame.to_csv(path, index=False))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _said(score: Score) -> str:
    if score.status != "ok":
        return f"{score.status}: {score.message}"
    return f"{score.metric} {score.value:.2f} in {score.seconds:.0f} s"
