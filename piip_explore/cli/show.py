"""`piip-explore show`: one trial or design of a study in full."""

from __future__ import annotations

import json

import click


@click.command("show")
@click.argument("what")
@click.argument("study", required=False)
@click.option("--storage", envvar="PIIP_EXPLORE_STORAGE", help="Where the study lies (default: studies/STUDY.journal).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(what: str, study: str | None, storage: str | None, as_json: bool) -> None:
    """Show WHAT of STUDY: a trial's number, or a design's text or id with all of its trials."""
    from piip_explore.search import columns, locate, report

    found = columns.read(*locate.study(study, storage))
    trials = report.details(found, what)
    click.echo(json.dumps(trials, indent=1) if as_json else report.details_text(trials))
