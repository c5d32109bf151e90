"""`piip-explore spaces`: the spaces that come with the package."""

from __future__ import annotations

import json

import click


@click.command("spaces")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(as_json: bool) -> None:
    """List the spaces that come with piip-explore; `enumerate`, `search` and Python open them by name."""
    from piip_explore.space import SearchSpace, shipped

    spaces = {name: (path, SearchSpace.load(path)) for name, path in shipped().items()}
    if as_json:
        found = {
            name: {"designs": space.size, "description": space.description, "file": str(path)}
            for name, (path, space) in spaces.items()
        }
        click.echo(json.dumps(found, indent=2))
        return
    listed = click.HelpFormatter(max_width=100)
    listed.write_dl([(name, f"{space.size:,} designs. {space.description}") for name, (_, space) in spaces.items()])
    click.echo(listed.getvalue(), nl=False)
