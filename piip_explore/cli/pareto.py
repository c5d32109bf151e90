"""`piip-explore pareto`: the front of a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piip_explore.cli import arguments

if TYPE_CHECKING:
    import pandas

    from piip_explore.latency import DeviceProfile
    from piip_explore.search.columns import Columns


@click.command("pareto")
@click.argument("study", required=False)
@arguments.storage()
@click.option("--max-gflops", type=float, help="Only designs within this many full-scale GFLOPs.")
@click.option("--max-params", type=float, help="Only designs within this many million parameters.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the front as .csv, .parquet, .json."
)
@click.option("--all-trials", is_flag=True, help="With --out: write every trial, not only the front.")
@click.option("--history", is_flag=True, help="With --out: write the hypervolume over trials and GPU-hours.")
@click.option("--expect", "metric", help="What full training is expected to give: box_ap, miou or top1; in files too.")
@click.option("--latency", "profile", metavar="PROFILE", help="Add the latency predicted from this device profile.")
@click.option("--max-latency-ms", metavar="MS@PROFILE", help="Only designs predicted to take at most this, as 25@h100.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    study: str | None,
    storage: str | None,
    max_gflops: float | None,
    max_params: float | None,
    out: Path | None,
    all_trials: bool,
    history: bool,
    metric: str | None,
    profile: str | None,
    max_latency_ms: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Print the Pareto front of STUDY, its knee, and what is tied with it within noise.

    Beside a proxy's score stands what `piip-explore predict` expects; the two are never mixed, and a line points out
    where they contradict each other on questions that the proxy cannot rank. --expect names the metric (default: that
    of the study's task) and adds expected, expected_low and expected_high to files and JSON, empty for a design unlike
    any published row. --latency adds latency_ms, predicted from a device profile.
    """
    from piip_explore.latency import load
    from piip_explore.search import columns, failures, locate, report
    from piip_explore.terminal import printable

    if (all_trials or history) and out is None:
        raise click.UsageError("--all-trials and --history need --out FILE")
    if all_trials and history:
        raise click.UsageError("give --all-trials or --history, not both")
    if history and metric is not None:
        raise click.UsageError("--expect adds columns to designs: it cannot be used with --history")
    found = columns.read(*locate.study(study, storage))
    if max_latency_ms is not None:
        found = _within_latency(found, max_latency_ms)
    device = None if profile is None else load(profile)
    within = report.budget(found, max_gflops, None if max_params is None else max_params * 1e6)
    if out is not None:
        table = (
            report.trials_table(found)
            if all_trials
            else report.history(found)
            if history
            else report.front_table(found, within)
        )
        if metric is not None:
            table = table.join(_expected(table["attribute:design" if all_trials else "design"], metric))
        if device is not None and not history:
            table["latency_ms"] = _latency(found, table["trial"], device)
        report.write_table(table, out, force)
        click.echo(printable(f"{len(table)} rows written to {out}"), err=as_json)
    if as_json:
        summary = report.summary(found, within)
        if metric is not None:
            _add_expected(summary, metric)
        if device is not None:
            _add_latency(summary, found, device)
        click.echo(json.dumps(summary, indent=1))
    elif out is None:
        latency = "" if device is None else "\n\n" + _latency_text(found, report.front_table(found, within), device)
        failed = failures.text(found)
        click.echo(report.front_text(found, within, metric) + (f"\n{failed}" if failed else "") + latency)


def _within_latency(found: Columns, text: str) -> Columns:
    """Return the trials whose designs are predicted to be within a limit."""
    import numpy as np

    from piip_explore.latency import load
    from piip_explore.search.predicted import latency_ms
    from piip_explore.space.bounds import parse_bound

    bound = parse_bound(text)
    return found.select(np.flatnonzero(latency_ms(found, load(bound.profile)) <= bound.milliseconds))


def _latency(found: Columns, trials: pandas.Series[Any], profile: DeviceProfile) -> list[float]:
    from piip_explore.search.predicted import latency_ms

    by_trial = dict(zip(found.number.tolist(), latency_ms(found, profile).tolist(), strict=True))
    return [by_trial[trial] for trial in trials]


def _add_latency(summary: dict[str, Any], found: Columns, profile: DeviceProfile) -> None:
    import pandas as pd

    front = summary["front"]
    latencies = _latency(found, pd.Series([entry["trial"] for entry in front], dtype=object), profile)
    for entry, milliseconds in zip(front, latencies, strict=True):
        entry["latency_ms"] = milliseconds
    summary["latency_conditions"] = profile.conditions_text()


def _latency_text(found: Columns, front: pandas.DataFrame, profile: DeviceProfile) -> str:
    lines = [f"predicted latency, {profile.conditions_text()}"]
    for trial, milliseconds in zip(front["trial"], _latency(found, front["trial"], profile), strict=True):
        lines.append(f"{trial:>5}  {milliseconds:.4g} ms")
    return "\n".join(lines)


def _expected(texts: pandas.Series[Any], metric: str) -> pandas.DataFrame:
    """Return what is expected of designs, by the index of their texts; nothing without a text."""
    from piip_explore import predict
    from piip_explore.design import Design

    known = texts.dropna()
    designs = [Design.parse(str(text)) for text in known]
    return predict.table(designs, metric).set_axis(known.index).reindex(texts.index)


def _add_expected(summary: dict[str, Any], metric: str) -> None:
    import pandas as pd

    front = summary["front"]
    found = _expected(pd.Series([entry["design"] for entry in front], dtype=object), metric)
    for entry, values in zip(front, found.to_dict("records"), strict=True):
        entry |= {str(name): None if pd.isna(value) else value for name, value in values.items()}
    summary["expected_metric"] = metric
