"""Results of `piip-explore validate`: finding and reading them; what they say is in `proxy.validity.comparison`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from piip_explore.errors import InputError

if TYPE_CHECKING:
    from piip_explore.proxy.validity.comparison import Comparison

_NEEDED = ("row", "table", "design", "gflops", "published", "proxy")
_MEASURED = ("rows", "accuracy", "tau", "tau interval", "partial tau given log FLOPs")


@dataclass(frozen=True)
class FinishedValidation:
    """One finished validation: its recipe (preset, hash, seeds, code version), statistics and rows."""

    recipe: dict[str, Any]
    statistics: dict[str, dict[str, Any]]
    rows: pd.DataFrame

    @cached_property
    def comparison(self) -> Comparison:
        """The proxy and everything that it is compared with, on the same pairs."""
        from piip_explore.proxy.validity.comparison import Comparison

        return Comparison(self.rows, tuple(name for name in self.statistics if name in self.rows))

    @property
    def verdicts(self) -> list[str]:
        """Whether the proxy beats what is cheaper: on all pairs, and on the hard ones if there are any."""
        questions = [question for question in ("all pairs", "hard pairs") if question in self.comparison.asked]
        return [self.comparison.verdict(question) for question in questions]


def find(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the folders of finished validations below `folders`, by their path there; those of most designs first."""
    found = {}
    for folder in folders:
        for file in sorted(folder.rglob("statistics.json")):
            if (file.parent / "rows.csv").is_file():
                place = file.parent.relative_to(folder)
                found[str(place) if place.parts else folder.name] = file.parent
    return dict(sorted(found.items(), key=lambda item: -_lines(item[1] / "rows.csv")))


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0  # `read` says what is wrong


def read(folder: Path) -> FinishedValidation:
    """Read a finished validation.

    Raises:
        InputError: a file of it cannot be read or lacks something.
    """
    try:
        recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        statistics = _numbers(json.loads((folder / "statistics.json").read_text(encoding="utf-8")))
        rows = pd.read_csv(folder / "rows.csv")
        tables = [table for found in statistics.values() for table in found["tables"].values()]
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise InputError(
            f"'{folder}' is not a readable validation ({error}): run 'piip-explore validate' again"
        ) from None
    missing = [name for name in _NEEDED if name not in rows]
    missing += [] if "proxy" in statistics else ["the proxy"]
    missing += [name for name in _MEASURED if any(name not in table for table in tables)]
    if missing:
        raise InputError(f"'{folder}' lacks {', '.join(missing)}: run 'piip-explore validate' again")
    return FinishedValidation(recipe, statistics, rows)


def _numbers(value: Any) -> Any:
    """Read what has no value, null in the file, as NaN."""
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    return float("nan") if value is None else value
