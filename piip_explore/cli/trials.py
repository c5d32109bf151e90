"""`piip-explore trials`: all trials of a study, failures included."""

from __future__ import annotations

import json

import click

from piip_explore.cli import arguments


@click.command("trials")
@click.argument("study", required=False)
@arguments.storage
@click.option("--failed", is_flag=True, help="Only those that failed.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(study: str | None, storage: str | None, failed: bool, as_json: bool) -> None:
    """List all trials of STUDY: number, state, objectives, seconds, design, and why it failed.

    `piip-explore pareto STUDY --all-trials --out FILE` writes them with everything that is known of them.
    """
    from piip_explore.search import columns, listing, locate

    rows = listing.trials(columns.read(*locate.study(study, storage)), failed)
    click.echo(json.dumps(rows, indent=1) if as_json else listing.trials_text(rows))
