"""`piip-explore studies`: list, copy, rename and delete studies."""

from __future__ import annotations

import json
import sys

import click

from piip_explore.cli import arguments

_STORAGE = "Journal file, folder of them, or database address (default: ./studies)."


@click.group(invoke_without_command=True)
@click.option("--storage", envvar="PIIP_EXPLORE_STORAGE", help=_STORAGE)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(context: click.Context, storage: str | None, as_json: bool) -> None:
    """List the studies of a folder or storage; copy, rename and delete them."""
    if context.invoked_subcommand is not None:
        return
    from piip_explore.search import keeping
    from piip_explore.terminal import printable

    found, problems = keeping.listed(storage)
    click.echo(json.dumps(keeping.to_json(found), indent=1) if as_json else keeping.listed_text(found))
    for problem in problems:
        click.echo(printable(f"left out: {problem}"), err=True)


@command.command()
@click.argument("study")
@arguments.storage
@click.option("--to", "target", required=True, help="Journal file, folder or database address to copy into.")
@click.option("--as", "name", help="Name of the copy (default: the study's).")
def copy(study: str, storage: str | None, target: str, name: str | None) -> None:
    """Copy STUDY with everything in it to another storage, or under another name."""
    from piip_explore.search import keeping, locate
    from piip_explore.search.storage import parse
    from piip_explore.terminal import printable

    where, found = locate.study(study, storage)
    count = keeping.copy(where, found, target, name or found)
    there = parse(locate.storage_of(name or found, target))
    click.echo(printable(f"copied {count} trials to study '{name or found}' in {there}"))


@command.command()
@click.argument("study")
@click.argument("name")
@arguments.storage
def rename(study: str, name: str, storage: str | None) -> None:
    """Rename STUDY to NAME, and its journal file too if that has the study's name."""
    from piip_explore.search import keeping, locate
    from piip_explore.terminal import printable

    where, found = locate.study(study, storage)
    click.echo(printable(f"study '{found}' is now '{name}', in {keeping.rename(where, found, name)}"))


@command.command()
@click.argument("study")
@arguments.storage
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(study: str, storage: str | None, yes: bool) -> None:
    """Delete STUDY with its results, checkpoints and logs, after asking."""
    from piip_explore.errors import InputError
    from piip_explore.search import keeping, locate
    from piip_explore.search.columns import read
    from piip_explore.search.storage import parse
    from piip_explore.terminal import printable

    where, found = locate.study(study, storage)
    trials = len(read(where, found))
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"study '{found}' has {trials} trials: pass --yes to delete it")
        click.confirm(printable(f"Delete study '{found}' with {trials} trials from {parse(where)}?"), abort=True)
    keeping.delete(where, found)
    click.echo(printable(f"deleted study '{found}' ({trials} trials) from {parse(where)}"))
