"""`piip-explore recommend`: the best designs of a study within limits, and what each limit costs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

from piip_explore.cli import arguments

if TYPE_CHECKING:
    from piip_explore.latency import DeviceProfile
    from piip_explore.search.columns import Columns
    from piip_explore.search.recommend import Floats, Price, Recommendation

    Costs = dict[str, Floats]

_SHOWN = 5
"""How many of the designs as good as the best are shown."""


@click.command("recommend")
@click.argument("study", required=False)
@arguments.storage
@click.option("--max-gflops", type=float, help="At most this many full-scale GFLOPs.")
@click.option("--max-params", type=float, help="At most this many million parameters.")
@click.option(
    "--max-latency-ms",
    "latencies",
    multiple=True,
    metavar="MS[@PROFILE]",
    help="At most this latency: 25@h100 as predicted for the device of a profile, 25 as measured in the study.",
)
@click.option("--max-memory-gb", type=float, help="At most this many GB of peak memory, as measured in the study.")
@click.option("--max-train-gb", metavar="GB@BATCH", help="At most this many GB to train in fp32, as predicted: 24@16.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    study: str | None,
    storage: str | None,
    max_gflops: float | None,
    max_params: float | None,
    latencies: tuple[str, ...],
    max_memory_gb: float | None,
    max_train_gb: str | None,
    as_json: bool,
) -> None:
    """Recommend designs of STUDY within limits, from what is stored; nothing is trained.

    Shows the simplest design that is as good as the best within noise, others that are equally good, and what each
    limit costs: how much higher the best score is without it. If a proxy gave the scores, a line names the design
    within the limits that is expected to beat the simplest on a question that the proxy cannot rank.
    """
    from piip_explore.latency import load
    from piip_explore.search import columns, locate, predicted
    from piip_explore.search.recommend import recommend
    from piip_explore.space.bounds import parse_bound, parse_training_bound
    from piip_explore.terminal import printable

    found = columns.read(*locate.study(study, storage))
    asked = {"gflops": max_gflops, "mparams": max_params, "memory_gb": max_memory_gb}
    limits = {name: bound for name, bound in asked.items() if bound is not None}
    costs = dict(found.costs)
    profiles = []
    for text in latencies:
        if "@" not in text:
            limits["latency_ms"] = _number(text)
            continue
        bound = parse_bound(text)
        profiles.append(load(bound.profile))
        limits[f"latency_ms@{bound.profile}"] = bound.milliseconds
        costs[f"latency_ms@{bound.profile}"] = predicted.latency_ms(found, profiles[-1])
    if max_train_gb is not None:
        trained = parse_training_bound(max_train_gb)
        limits[f"train_gb@{trained.batch}"] = trained.gigabytes
        costs[f"train_gb@{trained.batch}"] = predicted.train_gb(found, trained.batch)
    answer = recommend(found, limits, costs)
    shown = {name: values for name, values in costs.items() if name in ("gflops", "mparams") or name in limits}
    if as_json:
        click.echo(json.dumps(_as_json(found, shown, answer, profiles), indent=1))
    else:
        click.echo(printable("\n".join(_lines(found, shown, limits, answer, profiles))))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"'{text}': expected milliseconds, or milliseconds@profile such as 25@h100") from None


def _lines(
    found: Columns, costs: Costs, limits: dict[str, float], answer: Recommendation, profiles: list[DeviceProfile]
) -> list[str]:
    asked = ", ".join(f"{name} {bound:g}" for name, bound in limits.items()) or "no limit"
    lines = []
    if answer.simplest is None:
        lines.append(f"None of {answer.designs} designs is within {asked}")
    else:
        lines.append(f"{len(answer.within)} of {answer.designs} designs are within {asked}; as good as the best:")
        lines += [_line(found, costs, int(row), answer) for row in answer.equal[:_SHOWN]]
        if len(answer.equal) > _SHOWN:
            lines.append(f"  ... and {len(answer.equal) - _SHOWN} more")
    if answer.unknown:
        lines.append(f"{answer.unknown} more designs have no value for {' or '.join(limits)}")
    prices = [_price(found, price) for price in answer.prices]
    return [*lines, *_objection(found, answer), *prices, *(profile.conditions_text() for profile in profiles)]


def _objection(found: Columns, answer: Recommendation) -> list[str]:
    """Return a line on what is expected to beat the simplest design in what a proxy cannot rank, if anything is."""
    from piip_explore.search import expected

    if answer.simplest is None or not expected.by_proxy(found.record):
        return []
    metric = expected.metric_of(found)
    objections = expected.of_choice(found, answer.simplest, answer.within, metric)
    return [expected.text(found, objections, metric)] if objections else []


def _line(found: Columns, costs: Costs, row: int, answer: Recommendation) -> str:
    entry = _entry(found, costs, row)
    noise = "" if entry["standard_error"] is None else f" ± {entry['standard_error']:.2g}"
    told = ", ".join(f"{entry[name]:.4g} {name}" for name in costs)
    marks = [name for name, at in (("simplest", answer.simplest), ("best", answer.best)) if at == row]
    shown = f" [{', '.join(marks)}]" if marks else ""
    return f"  trial {entry['trial']}: {entry['score']:.4g}{noise}, {told}{shown}\n    {entry['design']}"


def _price(found: Columns, price: Price) -> str:
    head = f"limit {price.limit} {price.bound:g}"
    if price.best is None:
        return f"{head}: nothing is within the other limits either"
    design = found.attributes["design"].iloc[price.best]
    if math.isinf(price.gain):
        return f"{head}: without it, the best would be {design}"
    if price.gain <= 0:
        return f"{head}: costs nothing"
    noise = " (within noise)" if price.gain <= price.noise else ""
    return f"{head}: costs {price.gain:.3g}{noise}; without it, the best would be {design}"


def _entry(found: Columns, costs: Costs, row: int) -> dict[str, Any]:
    error = float(found.standard_error[row])
    return {
        "trial": int(found.number[row]),
        "design": str(found.attributes["design"].iloc[row]),
        "score": float(found.values[row, found.objectives.index("score")]),
        "standard_error": None if math.isnan(error) else error,
        **{name: float(values[row]) for name, values in costs.items()},
    }


def _as_json(found: Columns, costs: Costs, answer: Recommendation, profiles: list[DeviceProfile]) -> dict[str, Any]:
    def entry(row: int | None) -> dict[str, Any] | None:
        return None if row is None else _entry(found, costs, row)

    return {
        "study": found.study,
        "designs": answer.designs,
        "unknown": answer.unknown,
        "within": len(answer.within),
        "best": entry(answer.best),
        "simplest": entry(answer.simplest),
        "as_good": [_entry(found, costs, int(row)) for row in answer.equal],
        "latency_conditions": [profile.conditions_text() for profile in profiles],
        "limits": [
            {
                "limit": price.limit,
                "most": price.bound,
                "gain": price.gain if math.isfinite(price.gain) else None,
                "noise": price.noise,
                "best_without": entry(price.best),
            }
            for price in answer.prices
        ],
    }
