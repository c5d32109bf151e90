"""A validation's statistics as a table that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from piip_explore.proxy.validity.validate import Report
from piip_explore.terminal import aligned


def text(report: Report) -> str:
    """Return one line per predictor and measure: accuracies in percent, tau with its 95 % interval, the verdict."""
    found = report.statistics
    questions = [name for name in found["proxy"]["questions"] if name != "macro"]
    tables = list(found["proxy"]["tables"])
    count = found["proxy"]["number of pairs"]
    lines = [
        f"Pairwise accuracy in percent ({count['all']} pairs that differ by 0.5 or more, {count['hard']} hard; "
        f"{count['across tables']} across tables)"
    ]
    head = ["", *questions, "macro", "hard pairs", "macro over tables", "across tables"]
    lines += aligned([head, *([name, *_of_all(values, questions)] for name, values in found.items())])
    for table in tables:
        rows = found["proxy"]["tables"][table]
        lines += ["", f"{table} ({rows['rows']} designs, {rows['pairs']} pairs)"]
        head = ["", "accuracy", "tau", "95 % interval", "tau given FLOPs"]
        lines += aligned([head, *([name, *_of_table(values["tables"][table])] for name, values in found.items())])
        lines.append(f"proxy, seed to seed: tau {found['proxy']['seed-to-seed tau'][table]:.2f}")
    return "\n".join([*lines, "", *_noise(found["proxy"]), "", *found["proxy"]["verdicts"].values()])


def _noise(proxy: dict[str, Any]) -> list[str]:
    lines = []
    if isnan(proxy["standard error"]):
        lines.append("One seed: no standard error, so which scores tie is not known; run two or more with --seeds.")
    else:
        ties, count = proxy["ties"], proxy["number of pairs"]["all"]
        lines.append(
            f"A score's standard error is {proxy['standard error']:.2f} ({proxy['seeds']} seeds): {ties['pairs']} of "
            f"{count} pairs tie, within two standard errors of their difference; with ties as halves the proxy orders "
            f"{_number(ties['accuracy with ties as halves'])} % right."
        )
    if alike := proxy["one design after shrinking"]:
        names = "; ".join(f"{better} = {worse}" for better, worse in alike)
        lines.append(f"{len(alike)} pairs are one design after shrinking and count as ties: {names}.")
    return lines


def _of_all(values: dict[str, Any], questions: Sequence[str]) -> list[str]:
    asked = [values["questions"].get(name) for name in (*questions, "macro")]
    rest = [values[name] for name in ("hard pairs", "macro over tables", "across tables")]
    return list(map(_number, (*asked, *rest)))


def _of_table(values: dict[str, Any]) -> list[str]:
    low, high = values["tau interval"]
    return [
        _number(values["accuracy"]),
        f"{values['tau']:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{values['partial tau given log FLOPs']:.2f}",
    ]


def _number(value: object) -> str:
    return "-" if not isinstance(value, float) or isnan(value) else f"{value:.0f}"
