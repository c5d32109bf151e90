"""Arguments that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def results() -> Callable[[Any], Any]:
    """Add the option --results, folders of validations; it may be given several times."""
    return click.option(
        "--results",
        type=click.Path(path_type=Path, file_okay=False),
        multiple=True,
        help="Folders of the results of `validate` (default: runs and benchmarks/results).",
    )


def storage() -> Callable[[Any], Any]:
    """Add the option --storage, where a study is; the environment may name it too."""
    return click.option(
        "--storage",
        envvar="PIIP_EXPLORE_STORAGE",
        help="Where the study is: a journal file, a folder of them (default: studies) or a database address.",
    )
