"""`piip-explore show`: one trial or design of a study in full."""

from __future__ import annotations

import json

import click

from piip_explore.cli import arguments


@click.command("show")
@click.argument("what")
@click.argument("study", required=False)
@arguments.storage
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(what: str, study: str | None, storage: str | None, as_json: bool) -> None:
    """Show WHAT of STUDY: a trial's number, `knee`, or a design's text or (the beginning of its) id."""
    from piip_explore.search import columns, details, locate

    found = columns.read(*locate.study(study, storage))
    trials = details.details(found, what)
    click.echo(json.dumps(trials, indent=1) if as_json else details.details_text(trials))
