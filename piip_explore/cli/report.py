"""`piip-explore report`: a study as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from piip_explore.cli import arguments


@click.command("report")
@click.argument("study", required=False)
@arguments.storage
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The HTML file to write.")
@click.option("--trial", "chosen", type=int, multiple=True, help="A trial to show in full; several times if you like.")
@click.option("--accounting", type=click.Choice(["published", "built"]), default="published", show_default=True)
@click.option("--max-gflops", type=float, help="The budget: the best design within it is shown in full.")
@arguments.results
@click.option("--force", is_flag=True, help="Overwrite the file.")
def command(
    study: str | None,
    storage: str | None,
    out: Path,
    chosen: tuple[int, ...],
    accounting: str,
    max_gflops: float | None,
    results: tuple[Path, ...],
    force: bool,
) -> None:
    """Write STUDY as one HTML file that needs nothing else: front, knee, chosen trials, evidence and conditions."""
    from piip_explore.dashboard import report, trials
    from piip_explore.dashboard.options import Options
    from piip_explore.errors import InputError
    from piip_explore.files import write_named
    from piip_explore.search import columns, locate, pictures
    from piip_explore.search.storage import parse

    if out.exists() and not force:
        raise InputError(f"'{out}' exists: choose another --out, or overwrite it with --force")
    where, name = locate.study(study, storage)
    found = trials.of(columns.read(where, name), {})
    shown = report.page(
        name,
        found,
        chosen,
        accounting,
        max_gflops,
        results or Options.results,
        lambda row: pictures.read(parse(where), name, row),
    )
    write_named(out, lambda path: path.write_text(shown, encoding="utf-8"))
    click.echo(f"written to {out}")
