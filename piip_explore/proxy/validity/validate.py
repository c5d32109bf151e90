"""`piip-explore validate`: train published designs on the proxy and compare its ranking with theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from piip_explore import predict, proxy
from piip_explore.errors import InputError
from piip_explore.files import write_whole
from piip_explore.proxy.presets import Preset
from piip_explore.proxy.score import Score, code_version, null_for_nan
from piip_explore.proxy.validity import predictors, statistics
from piip_explore.proxy.validity.comparison import Comparison
from piip_explore.proxy.validity.pairs import hard
from piip_explore.proxy.validity.rows import Rows, as_trained

Told = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What a validation found.

    `rows`: one per design, with every predictor. `statistics`: per predictor, and for the proxy also seeds, standard
    error, ties, pairs of one shrunken design, verdicts.
    """

    rows: pd.DataFrame
    statistics: dict[str, dict[str, Any]]

    def to_json(self) -> str:
        """Return the statistics as JSON, with null for what has no value."""
        return _json(self.statistics)


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
    write_whole(folder / "statistics.json", lambda path: path.write_text(report.to_json()))
    write_whole(folder / "rows.csv", lambda path: report.rows.to_csv(path, index=False))
    return report


def compare(rows: Rows, scores: np.ndarray, preset: Preset) -> Report:
    """Return the statistics of the proxy's `scores` (rows, seeds) and of every cheap predictor that has a value."""
    trained = [as_trained(design, preset.task.needs != "labels") for design in rows.design]
    free = [predictors.training_free(design, preset) for design in trained]
    expected = predict.expected_elsewhere(rows.design, rows.metric, rows.table)
    columns = {
        "proxy": scores.mean(1),
        "FLOPs": rows.gflops,
        "params": predictors.params(rows.design),
        "ridge": predictors.ridge(rows.design, rows.value, rows.table),
        "expected": expected,
        "stacked": predict.stacked(expected, scores.mean(1), rows.value, rows.table),
        **{name: np.array([values[name] for values in free]) for name in free[0]},
    }
    # A predictor that says nothing, such as `stacked` with one table to learn from, does not order half of the pairs.
    columns = {name: said for name, said in columns.items() if name == "proxy" or not np.isnan(said).all()}
    frame = rows.frame().assign(**columns)
    frame["trained as"] = [preset.shrink(design.sorted()).id for design in trained]
    frame["standard error"] = scores.std(1, ddof=1) / scores.shape[1] ** 0.5 if scores.shape[1] > 1 else np.nan
    frame = frame.assign(**{f"seed {n}": scores[:, n] for n in range(scores.shape[1])})
    comparison = Comparison(frame, tuple(columns))
    found = {name: _statistics(comparison, name) for name in columns}
    found["proxy"] |= _noise(comparison, scores) | _verdicts(comparison)
    return Report(frame, found)


def _statistics(comparison: Comparison, name: str) -> dict[str, Any]:
    rows, right, every = comparison.rows, comparison.right[name], comparison.pairs
    table = rows["table"].to_numpy(str)
    prediction, value = rows[name].to_numpy(float), rows["published"].to_numpy(float)
    gflops = rows["gflops"].to_numpy(float)
    per_table: dict[str, dict[str, Any]] = {}
    for one in dict.fromkeys(table):
        mine, here = table == one, table[every.better] == one
        a, b = prediction[mine], value[mine]
        per_table[str(one)] = {
            "rows": int(mine.sum()),
            "pairs": int(here.sum()),
            "accuracy": statistics.percent(right[here]),
            "tau": statistics.tau(a, b),
            "tau interval": statistics.tau_interval(a, b),
            "partial tau given log FLOPs": statistics.partial_tau(a, b, np.log(gflops[mine])),
        }
    difficult = hard(every, gflops)
    judged = [values["accuracy"] for values in per_table.values() if values["pairs"]]
    return {
        "questions": statistics.by_question(right, every),
        "hard pairs": statistics.percent(right[difficult]),
        "across tables": statistics.percent(comparison.right_across_tables[name]),
        "number of pairs": {
            "all": len(every),
            "hard": int(difficult.sum()),
            "across tables": len(comparison.pairs_across_tables),
        },
        "tables": per_table,
        "macro over tables": float(np.mean(judged)) if judged else float("nan"),
    }


def _noise(comparison: Comparison, scores: np.ndarray) -> dict[str, Any]:
    """Return how noisy the scores are, and which pairs they do not decide."""
    rows, every = comparison.rows, comparison.pairs
    table, names = rows["table"].to_numpy(str), rows["row"].to_numpy(str)
    error = statistics.standard_error(scores)
    decided = statistics.pair_scores(scores.mean(1), every, statistics.tie_width(error))
    decided = np.where(comparison.coincide, 0.5, decided)
    return {
        "seeds": scores.shape[1],
        "standard error": error,
        "ties": {"pairs": int((decided == 0.5).sum()), "accuracy with ties as halves": statistics.percent(decided)},
        "one design after shrinking": [
            [str(names[better]), str(names[worse])]
            for better, worse in zip(every.better[comparison.coincide], every.worse[comparison.coincide], strict=True)
        ],
        "seed-to-seed tau": {
            str(one): statistics.seed_to_seed_tau(scores[table == one]) for one in dict.fromkeys(table)
        },
    }


def _verdicts(comparison: Comparison) -> dict[str, Any]:
    questions = list(comparison.asked)
    return {
        "verdicts": {question: comparison.verdict(question) for question in questions},
        "leads": {
            question: {
                rival: {**asdict(lead), "outcome": lead.outcome} for rival, lead in comparison.leads(question).items()
            }
            for question in questions
        },
    }


def _promise(rows: Rows, preset: Preset, seeds: Sequence[int], folder: Path) -> None:
    """Record the recipe before it runs; refuse a folder with another one."""
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
        differs = [key for key in recipe if earlier.get(key) != json.loads(_json(recipe[key]))]
        if differs:
            raise InputError(f"{folder} holds a validation with another {differs[0]}: choose another folder with --out")
        return
    write_whole(path, lambda part: part.write_text(_json(recipe)))


def _keep(rows: Rows, seeds: Sequence[int], scores: np.ndarray, folder: Path) -> None:
    frame = rows.frame().assign(**{f"seed {seed}": scores[:, n] for n, seed in enumerate(seeds)})
    write_whole(folder / "scores.csv", lambda path: frame.to_csv(path, index=False))


def _json(value: Any) -> str:
    return json.dumps(null_for_nan(value), indent=1, allow_nan=False)


def _said(score: Score) -> str:
    if score.status != "ok":
        return f"{score.status}: {score.message}"
    lost = "".join(f"; {note}" for note in score.notes)
    return f"{score.metric} {score.value:.2f} in {score.seconds:.0f} s{lost}"
