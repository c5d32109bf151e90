"""Two studies side by side: fronts, hypervolume from one reference, and attainment over the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from piip_explore.errors import InputError
from piip_explore.search import pareto
from piip_explore.search.columns import Columns
from piip_explore.terminal import printable


@dataclass(frozen=True)
class StudyComparison:
    """How two studies with the same objectives compare; every pair is (first, second).

    Attributes:
        studies: their names.
        objectives: of both.
        differences: settings in which they differ, in words; scores may not compare then.
        reference: the point from which both hypervolumes are measured, as objective values: the worst of all runs.
        hypervolume: of each.
        together: hypervolume of both fronts together.
        trials: full runs of each.
        covered: share of each one's front that the other's front dominates or equals.
        attainment: a table with a row per budget (the last objective of every design on either front): the budget, and
            the best first objective that each study reaches within it (NaN: none).
    """

    studies: tuple[str, str]
    objectives: tuple[str, ...]
    differences: tuple[str, ...]
    reference: tuple[float, ...]
    hypervolume: tuple[float, float]
    together: float
    trials: tuple[int, int]
    covered: tuple[float, float]
    attainment: pd.DataFrame


def compare(first: Columns, second: Columns) -> StudyComparison:
    """Compare two studies.

    Raises:
        InputError: their objectives differ, or one has no full run yet.
    """
    if first.objectives != second.objectives or first.directions != second.directions:
        raise InputError(
            f"'{first.study}' and '{second.study}' have different objectives: {', '.join(first.objectives)} and "
            f"{', '.join(second.objectives)}"
        )
    if "gflops" in first.objectives and first.record.get("accounting") != second.record.get("accounting"):
        raise InputError(
            f"'{first.study}' counts GFLOPs under the {first.record.get('accounting')} accounting and "
            f"'{second.study}' under the {second.record.get('accounting')}: they do not compare"
        )
    for study in (first, second):
        if not study.full.any():
            raise InputError(f"study '{study.study}' has no full run to compare yet")
    a, b = (study.losses[study.full] for study in (first, second))
    both = np.vstack((a, b))
    bound = both.max(axis=0)
    fronts = [losses[pareto.front(losses)] for losses in (a, b)]
    return StudyComparison(
        studies=(first.study, second.study),
        objectives=first.objectives,
        differences=tuple(_differences(first.record, second.record)),
        reference=tuple(pareto.to_losses(bound, first.directions)[0].tolist()),
        hypervolume=(pareto.hypervolume(a, bound), pareto.hypervolume(b, bound)),
        together=pareto.hypervolume(both, bound),
        trials=(len(a), len(b)),
        covered=(float(pareto.covered(*fronts).mean()), float(pareto.covered(*fronts[::-1]).mean())),
        attainment=_attainment((first, second), fronts),
    )


def _differences(first: Any, second: Any) -> list[str]:
    found = []
    for part in ("evaluator", "conditions"):
        a, b = first.get(part, {}), second.get(part, {})
        found += [f"{name}: {a.get(name)} / {b.get(name)}" for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    for name in ("seed", "rungs"):
        if first.get(name) != second.get(name):
            found.append(f"{name}: {first.get(name)} / {second.get(name)}")
    return found


def _attainment(studies: tuple[Columns, Columns], fronts: list[pareto.Floats]) -> pd.DataFrame:
    signs = pareto.to_losses(np.ones(len(studies[0].objectives)), studies[0].directions)[0]
    grid = np.unique(np.concatenate([front[:, -1] for front in fronts]))
    best, cost = studies[0].objectives[0], studies[0].objectives[-1]
    table = {cost: grid * signs[-1]}
    for place, (study, front) in enumerate(zip(studies, fronts, strict=True), start=1):
        within = [front[front[:, -1] <= budget, 0] for budget in grid]
        reached = [scores.min() * signs[0] if len(scores) else np.nan for scores in within]
        table[f"{best} {place}: {study.study}"] = np.array(reached)
    return pd.DataFrame(table)


def to_json(comparison: StudyComparison) -> dict[str, Any]:
    """Return a comparison as JSON-ready values."""
    values = dict(vars(comparison))
    table = comparison.attainment
    values["attainment"] = table.astype(object).where(table.notna(), None).to_dict("records")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def to_text(comparison: StudyComparison) -> str:
    """Return a comparison as lines for a terminal."""
    first, second = comparison.studies
    lines = []
    if comparison.differences:
        lines.append("The scores do not compare, and so neither do hypervolumes: " + "; ".join(comparison.differences))
    for place, name in enumerate((first, second)):
        line = f"{name}: {comparison.trials[place]} full run{'s' * (comparison.trials[place] != 1)}"
        if not comparison.differences:
            share = comparison.hypervolume[place] / comparison.together if comparison.together else 0.0
            line += (
                f", hypervolume {comparison.hypervolume[place]:.4g} ({share:.1%} of both together); the other covers "
                f"{comparison.covered[place]:.0%} of its front"
            )
        lines.append(line)
    if not comparison.differences:
        worst = ", ".join(
            f"{name} {value:.4g}" for name, value in zip(comparison.objectives, comparison.reference, strict=True)
        )
        lines.append(f"(hypervolume is measured from the worst of all runs: {worst})")
    lines += ["", comparison.attainment.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.4g}")]
    return printable("\n".join(lines))
