"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path

import click

results = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    multiple=True,
    help="Folders of the results of `validate` (default: runs and benchmarks/results).",
)

storage = click.option(
    "--storage",
    envvar="PIIP_EXPLORE_STORAGE",
    help="Where the study is: a journal file, a folder of them (default: studies) or a database address.",
)
