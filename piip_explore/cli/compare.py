"""`piip-explore compare`: two studies side by side."""

from __future__ import annotations

import json

import click


@click.command("compare")
@click.argument("first")
@click.argument("second")
@click.option("--storage", envvar="PIIP_EXPLORE_STORAGE", help="Where both are (default: the folder studies).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(first: str, second: str, storage: str | None, as_json: bool) -> None:
    """Compare the studies FIRST and SECOND (names, or journal files): hypervolume, and the best score per budget."""
    from piip_explore.search import columns, compare, locate

    one, other = (columns.read(*locate.study(name, storage)) for name in (first, second))
    result = compare.compare(one, other)
    click.echo(json.dumps(compare.to_json(result), indent=1) if as_json else compare.to_text(result))
