"""`piip-explore retry`: queue again the designs that were given up."""

from __future__ import annotations

import click

from piip_explore.cli import arguments


@click.command("retry")
@click.argument("study", required=False)
@arguments.storage
@click.option("--trial", type=click.IntRange(min=0), help="Only the design of this trial (default: all given up).")
def command(study: str | None, storage: str | None, trial: int | None) -> None:
    """Queue again the designs of STUDY that a search has given up; the next search tries them first.

    A search gives a design up when its evaluation diverges, is impossible, or crashes repeatedly on healthy devices.
    """
    from piip_explore.search import locate
    from piip_explore.search.requeue import requeue
    from piip_explore.search.storage import StudyStorage
    from piip_explore.terminal import printable

    store = StudyStorage(*locate.study(study, storage))
    numbers = requeue(store, trial)
    for number in numbers:
        click.echo(printable(f"queued again: {store.table.attribute('design', number)}"))
    count, them = ("1 design is", "it") if len(numbers) == 1 else (f"{len(numbers)} designs are", "them")
    click.echo(f"{count} queued: run the study's search to evaluate {them}" if numbers else "no design is given up")
    store.leave()
