"""Results of `piip-explore validate` as the page shows them: accuracies with intervals, and a plain verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from piip_explore.design import Design
from piip_explore.errors import InputError

RIVALS = ("FLOPs", "params", "ridge")
"""What a proxy has to beat to be worth its training."""

_RESAMPLES = 2000
_NEEDED = ("row", "table", "design", "gflops", "published", "proxy")
_MEASURED = ("rows", "accuracy", "tau", "tau interval", "partial tau given log FLOPs")


@dataclass(frozen=True)
class Validation:
    """One finished validation: its recipe (preset, hash, seeds, code version), statistics and rows."""

    name: str
    recipe: dict[str, Any]
    statistics: dict[str, dict[str, Any]]
    rows: pd.DataFrame

    @property
    def predictors(self) -> tuple[str, ...]:
        """The proxy, then everything that it is compared with."""
        return tuple(name for name in self.statistics if name in self.rows)

    @cached_property
    def accuracies(self) -> pd.DataFrame:
        """Pairwise accuracy in percent: `question`, `predictor`, `accuracy`, `low`, `high` (95 %), `pairs`.

        Besides the questions there are `all pairs` and `hard pairs` (FLOPs within 15 %, or FLOPs and metric disagree).
        Intervals come from resampling designs, as pairs that share a design are not independent.
        """
        draws = self._draws
        records = []
        for question, mask in self._asked.items():
            for predictor in self.predictors:
                right = self._right[predictor][mask]
                low, high = np.nanquantile(draws[question, predictor], (0.025, 0.975))
                accuracy = 100 * float(right.mean())
                records.append((question, predictor, accuracy, float(low), float(high), int(mask.sum())))
        return pd.DataFrame(records, columns=["question", "predictor", "accuracy", "low", "high", "pairs"])

    def lead(self, rival: str, question: str) -> tuple[float, float, float]:
        """Return by how many points of accuracy the proxy leads, and the 95 % interval of that."""
        mask = self._asked[question]
        lead = 100 * float((self._right["proxy"][mask] - self._right[rival][mask]).mean())
        low, high = np.nanquantile(self._draws[question, "proxy"] - self._draws[question, rival], (0.025, 0.975))
        return lead, float(low), float(high)

    @cached_property
    def _pairs(self) -> Any:
        from piip_explore.proxy.validity.rows import Rows, pairs

        rows = self.rows
        designs = tuple(Design.parse(text) for text in rows["design"].astype(str))
        names = tuple(rows["row"].astype(str))
        tables = tuple(rows["table"].astype(str))
        return pairs(Rows(names, tables, designs, rows["published"].to_numpy(float), rows["gflops"].to_numpy(float)))

    @cached_property
    def _asked(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which pairs each question has, of those that have any."""
        pairs = self._pairs
        flops = self.rows["gflops"].to_numpy(float)
        better, worse = flops[pairs.better], flops[pairs.worse]
        hard = (np.abs(better - worse) <= 0.15 * np.minimum(better, worse)) | (better < worse)
        asked = {str(name): pairs.question == name for name in dict.fromkeys(pairs.question)}
        asked |= {"all pairs": np.ones(len(pairs), dtype=bool), "hard pairs": hard}
        return {name: mask for name, mask in asked.items() if mask.any()}

    @cached_property
    def _right(self) -> dict[str, npt.NDArray[np.float64]]:
        """Per predictor and pair: 1 ordered right, 0 wrong, 0.5 no order."""
        from piip_explore.proxy.validity.statistics import pair_scores

        return {name: pair_scores(self.rows[name].to_numpy(float), self._pairs) for name in self.predictors}

    @cached_property
    def _draws(self) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
        """Accuracies of bootstrap samples of designs, NaN where a sample has no pair."""
        count = len(self.rows)
        chosen = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
        weights = (chosen[:, self._pairs.better] * chosen[:, self._pairs.worse]).astype(np.float64)
        draws = {}
        for question, mask in self._asked.items():
            total = weights[:, mask].sum(axis=1)
            for predictor in self.predictors:
                right = weights[:, mask] @ self._right[predictor][mask]
                draws[question, predictor] = np.divide(
                    100 * right, total, out=np.full(_RESAMPLES, np.nan), where=total > 0
                )
        return draws


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


def read(folder: Path) -> Validation:
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
        raise InputError(f"'{folder}' is no readable validation ({error}): run 'piip-explore validate' again") from None
    missing = [name for name in _NEEDED if name not in rows]
    missing += [] if "proxy" in statistics else ["the proxy"]
    missing += [name for name in _MEASURED if any(name not in table for table in tables)]
    if missing:
        raise InputError(f"'{folder}' lacks {', '.join(missing)}: run 'piip-explore validate' again")
    return Validation(folder.name, recipe, statistics, rows)


def _numbers(value: Any) -> Any:
    """Read what has no value, null in the file, as NaN."""
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    return float("nan") if value is None else value


def verdict(validation: Validation, question: str) -> str:
    """Say plainly whether the proxy beats what is cheaper, on the pairs of a question."""
    rivals = [name for name in RIVALS if name in validation.predictors]
    leads = {rival: validation.lead(rival, question) for rival in rivals}
    beaten = [rival for rival, (_, low, _) in leads.items() if low > 0]
    ahead = [rival for rival, (_, _, high) in leads.items() if high < 0]
    unclear = [rival for rival in rivals if rival not in beaten + ahead]
    parts = []
    if beaten:
        parts.append(f"beats {_and(beaten)}")
    if unclear:
        parts.append(f"does not beat {_and(unclear)} beyond noise")
    if ahead:
        parts.append(f"is worse than {_and(ahead)}")
    return f"On {question} the proxy {_and(parts)}." if parts else f"Nothing is compared on {question}."


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
