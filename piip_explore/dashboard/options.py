"""What the dashboard was started with: which studies, spaces and results it may show.

The same options reach it from `piip-explore dashboard` and from `streamlit run app.py -- --study demo`. No page opens
a path or an address that comes from a browser: it chooses among what these options name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from piip_explore.space.shipped import folder


def _default_spaces() -> Path:
    """Return the folder of one's own spaces, or of those that come with the package where there is none."""
    own = Path("search_spaces")
    return own if own.is_dir() else folder()


@dataclass(frozen=True)
class Options:
    """`storages` are folders of journal files, journal files or database addresses; `study` is the one to open first.

    `spaces` is the folder of space files to browse and search, `results` are folders of `piip-explore validate`.
    """

    storages: tuple[str, ...] = ("studies",)
    study: str | None = None
    spaces: Path = field(default_factory=_default_spaces)
    results: tuple[Path, ...] = (Path("runs"), Path("benchmarks/results"))

    def arguments(self) -> list[str]:
        """Return the command-line form that `parse` reads."""
        storages = [word for storage in self.storages for word in ("--storage", storage)]
        study = ["--study", self.study] if self.study else []
        results = [word for folder in self.results for word in ("--results", str(folder))]
        return [*storages, *study, "--spaces", str(self.spaces), *results]


def parse(arguments: Sequence[str]) -> Options:
    """Read the options that the server passes to the app; unknown ones end the program with a sentence."""
    parser = argparse.ArgumentParser(prog="streamlit run app.py --")
    parser.add_argument("--storage", action="append")
    parser.add_argument("--study")
    parser.add_argument("--spaces", type=Path, default=Options().spaces)
    parser.add_argument("--results", type=Path, action="append")
    given = parser.parse_args(arguments)
    storages = tuple(given.storage) if given.storage else Options.storages
    return Options(storages, given.study, given.spaces, tuple(given.results or Options.results))
