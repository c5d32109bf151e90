"""`piip-explore pareto`: the front of a study."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("pareto")
@click.argument("study", required=False)
@click.option("--storage", envvar="PIIP_EXPLORE_STORAGE", help="Where the study lies (default: studies/STUDY.journal).")
@click.option("--max-gflops", type=float, help="Only designs within this many full-scale GFLOPs.")
@click.option("--max-params", type=float, help="Only designs within this many million parameters.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the front as .csv, .parquet, .json."
)
@click.option("--all-trials", is_flag=True, help="With --out: write every trial, not the front alone.")
@click.option("--history", is_flag=True, help="With --out: write the hypervolume over trials and GPU-hours.")
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
    force: bool,
    as_json: bool,
) -> None:
    """Print the Pareto front of STUDY, its knee, and what is tied with it within noise."""
    from piip_explore.search import columns, locate, report

    if (all_trials or history) and out is None:
        raise click.UsageError("--all-trials and --history need --out FILE")
    if all_trials and history:
        raise click.UsageError("give --all-trials or --history, not both")
    found = columns.read(*locate.study(study, storage))
    within = report.budget(found, max_gflops, None if max_params is None else max_params * 1e6)
    if out is not None:
        table = (
            report.trials_table(found)
            if all_trials
            else report.history(found)
            if history
            else report.front_table(found, within)
        )
        report.write_table(table, out, force)
        click.echo(f"{len(table)} rows written to {out}", err=as_json)
    if as_json:
        click.echo(json.dumps(report.summary(found, within), indent=1))
    elif out is None:
        click.echo(report.front_text(found, within))
