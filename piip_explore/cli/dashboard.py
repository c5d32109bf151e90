"""`piip-explore dashboard`: studies, spaces and published results in the browser."""

from __future__ import annotations

import os
from pathlib import Path

import click

from piip_explore.cli import arguments


@click.command("dashboard")
@click.option("--study", help="The study to show first.")
@click.option(
    "--storage",
    "storages",
    multiple=True,
    help="Where studies are: a folder of journal files (default: $PIIP_EXPLORE_STORAGE, else studies), a journal file, "
    "or a database address; may be given several times.",
)
@click.option(
    "--spaces",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of space files to browse and search (default: search_spaces, or what comes with the program).",
)
@arguments.results
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True)
@click.option("--browser/--no-browser", default=True, help="Open a browser.")
def command(
    study: str | None,
    storages: tuple[str, ...],
    spaces: Path | None,
    results: tuple[Path, ...],
    address: str,
    port: int,
    browser: bool,
) -> None:
    """Serve the dashboard until it is interrupted.

    Without a study here, the example that comes with the program is shown.
    """
    from piip_explore.dashboard.options import Options
    from piip_explore.dashboard.server.launch import launch
    from piip_explore.errors import InputError

    storages = storages or tuple(filter(None, [os.environ.get("PIIP_EXPLORE_STORAGE")]))
    for storage in storages:
        if "://" not in storage and not Path(storage).exists():
            raise InputError(f"there is no storage '{storage}': name a folder of journal files, a file or an address")
    options = Options(storages or Options.storages, study, spaces or Options().spaces, results or Options.results)
    launch(options, address, port, browser=browser)
