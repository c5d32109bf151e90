"""`piip-explore pareto`: the front of a study."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piip_explore.cli import arguments

if TYPE_CHECKING:
    import pandas as pd

    from piip_explore.latency import DeviceProfile
    from piip_explore.search.columns import Columns


@click.command("pareto")
@click.argument("study", required=False)
@arguments.storage
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
    front = cache(lambda: report.front_table(found, within))
    if out is not None:
        table = report.trials_table(found) if all_trials else report.history(found) if history else front()
        table = _told(table, found, metric, None if history else device)
        report.write_table(table, out, force)
        click.echo(printable(f"{len(table)} rows written to {out}"), err=as_json)
    if as_json:
        summary = report.summary(found, _told(front(), found, metric, device))
        if metric is not None:
            summary["expected_metric"] = metric
        if device is not None:
            summary["latency_conditions"] = device.conditions_text()
        click.echo(json.dumps(summary, indent=1))
    elif out is None:
        failed = failures.text(found)
        click.echo(report.front_text(found, within, metric) + (f"\n{failed}" if failed else ""))
        if device is not None:
            click.echo(f"\npredicted latency, {device.conditions_text()}")
            for row in _told(front(), found, None, device).itertuples():
                click.echo(f"{row.trial:>5}  {row.latency_ms:.4g} ms")


def _within_latency(found: Columns, text: str) -> Columns:
    """Return the trials whose designs are predicted to be within a limit."""
    import numpy as np

    from piip_explore.latency import load
    from piip_explore.search.predicted import latency_ms
    from piip_explore.space.bounds import parse_bound

    bound = parse_bound(text)
    return found.select(np.flatnonzero(latency_ms(found, load(bound.profile)) <= bound.milliseconds))


def _told(table: pd.DataFrame, found: Columns, metric: str | None, device: DeviceProfile | None) -> pd.DataFrame:
    """Return a table of trials with what is expected of their designs, if a metric is given, and their latency."""
    import pandas as pd

    from piip_explore.design import Design
    from piip_explore.search.predicted import latency_ms

    if metric is not None:
        from piip_explore import predict  # takes seconds to load

        texts = table["design" if "design" in table else "attribute:design"].dropna()
        expected = predict.table([Design.parse(str(text)) for text in texts], metric)
        table = table.join(expected.set_axis(texts.index))
    if device is not None:
        latency = pd.Series(latency_ms(found, device), index=found.number)
        table = table.assign(latency_ms=table["trial"].map(latency))
    return table
