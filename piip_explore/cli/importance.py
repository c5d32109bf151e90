"""`piip-explore importance`: which choices matter."""

from __future__ import annotations

import json

import click

from piip_explore.cli import arguments


@click.command("importance")
@click.argument("study", required=False)
@arguments.storage
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(study: str | None, storage: str | None, as_json: bool) -> None:
    """Print how much of each objective's variation every choice of STUDY explains."""
    from piip_explore.search import columns, importance, locate

    table = importance.importance(columns.read(*locate.study(study, storage)))
    if as_json:
        click.echo(json.dumps({"importance": table.to_dict("records"), **table.attrs}, indent=1))
    else:
        click.echo(importance.to_text(table))
