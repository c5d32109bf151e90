"""The proxy beside its rivals: shares of pairs ordered right, leads with intervals, and the verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from piip_explore.design import Design
from piip_explore.proxy.validity.pairs import Pairs, hard, pairs
from piip_explore.proxy.validity.rows import Rows
from piip_explore.proxy.validity.statistics import pair_scores

RIVALS = ("FLOPs", "params", "ridge")
"""What a proxy must beat to be worth its training."""

TRAINED = ("proxy", "gradient norm", "snip")
"""The predictors that see the shrunken design, not the design."""

Outcome = Literal["beats", "does not beat", "is worse than"]

_RESAMPLES = 2000


@dataclass(frozen=True)
class Lead:
    """The proxy's lead over a rival in points of accuracy, with its 95 % interval."""

    points: float
    low: float
    high: float

    @property
    def outcome(self) -> Outcome:
        """`beats` and `is worse than` beyond noise, that is where the interval leaves out zero."""
        return "beats" if self.low > 0 else "is worse than" if self.high < 0 else "does not beat"


@dataclass(frozen=True)
class Comparison:
    """All predictors on the same pairs.

    `rows` has `row`, `table`, `design` (text), `gflops`, `published` and a column per name of `predictors`. Optional:
    `metric` and `recipe`, where there are several, and `trained as`, an id of the shrunken design: predictors that see
    only that cannot tell rows apart that share it.
    """

    rows: pd.DataFrame
    predictors: tuple[str, ...]

    @cached_property
    def pairs(self) -> Pairs:
        """All pairs of rows of one table."""
        return pairs(self._rows)

    @cached_property
    def pairs_across_tables(self) -> Pairs:
        """All pairs of rows, whatever their tables: what a search compares differs in more than one thing."""
        return pairs(self._rows, across_tables=True)

    @cached_property
    def _rows(self) -> Rows:
        rows = self.rows
        metric, recipe = (rows[name].astype(str) if name in rows else [""] * len(rows) for name in ("metric", "recipe"))
        return Rows(
            tuple(rows["row"].astype(str)),
            tuple(rows["table"].astype(str)),
            tuple(recipe),
            tuple(Design.parse(text) for text in rows["design"].astype(str)),
            tuple(metric),
            rows["published"].to_numpy(float),
            rows["gflops"].to_numpy(float),
        )

    @cached_property
    def coincide(self) -> npt.NDArray[np.bool_]:
        """Pairs that are the same design after shrinking: the proxy cannot tell them apart."""
        return self._coincide(self.pairs)

    @cached_property
    def right(self) -> dict[str, npt.NDArray[np.float64]]:
        """Per predictor and pair: 1 ordered right, 0 wrong, 0.5 no order."""
        return {name: self._right(name, self.pairs) for name in self.predictors}

    @cached_property
    def right_across_tables(self) -> dict[str, npt.NDArray[np.float64]]:
        """The same for `pairs_across_tables`."""
        return {name: self._right(name, self.pairs_across_tables) for name in self.predictors}

    def _right(self, predictor: str, of: Pairs) -> npt.NDArray[np.float64]:
        found = pair_scores(self.rows[predictor].to_numpy(float), of)
        return np.where(self._coincide(of), 0.5, found) if predictor in TRAINED else found

    def _coincide(self, of: Pairs) -> npt.NDArray[np.bool_]:
        if "trained as" not in self.rows:
            return np.zeros(len(of), dtype=bool)
        ids = self.rows["trained as"].to_numpy(str)
        return np.asarray(ids[of.better] == ids[of.worse])

    @cached_property
    def asked(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which pairs each question has, of those that have any, then `all pairs` and `hard pairs`."""
        found = {str(name): self.pairs.question == name for name in dict.fromkeys(self.pairs.question)}
        found["all pairs"] = np.ones(len(self.pairs), dtype=bool)
        found["hard pairs"] = hard(self.pairs, self.rows["gflops"].to_numpy(float))
        return {name: mask for name, mask in found.items() if mask.any()}

    @cached_property
    def accuracies(self) -> pd.DataFrame:
        """Pairwise accuracy in percent: `question`, `predictor`, `accuracy`, `low`, `high` (95 %), `pairs`.

        Besides the questions there are `all pairs` and `hard pairs` (FLOPs within 15 %, or FLOPs and metric disagree).
        Intervals come from resampling designs, as pairs that share a design are not independent.
        """
        records = []
        for question, mask in self.asked.items():
            for predictor in self.predictors:
                low, high = np.nanquantile(self._draws[question, predictor], (0.025, 0.975))
                share = 100 * float(self.right[predictor][mask].mean())
                records.append((question, predictor, share, float(low), float(high), int(mask.sum())))
        return pd.DataFrame(records, columns=["question", "predictor", "accuracy", "low", "high", "pairs"])

    def lead(self, rival: str, question: str) -> Lead:
        """Return the proxy's lead over a rival on the pairs of a question."""
        mask = self.asked[question]
        points = 100 * float((self.right["proxy"][mask] - self.right[rival][mask]).mean())
        low, high = np.nanquantile(self._draws[question, "proxy"] - self._draws[question, rival], (0.025, 0.975))
        return Lead(points, float(low), float(high))

    def leads(self, question: str) -> dict[str, Lead]:
        """Return the proxy's lead over every rival that was computed."""
        return {rival: self.lead(rival, question) for rival in RIVALS if rival in self.predictors}

    def verdict(self, question: str) -> str:
        """Say plainly whether the proxy beats cheaper predictors on the pairs of a question."""
        leads = self.leads(question) if question in self.asked else {}
        parts = []
        for outcome, ending in (("beats", ""), ("does not beat", " beyond noise"), ("is worse than", "")):
            if rivals := [rival for rival, lead in leads.items() if lead.outcome == outcome]:
                parts.append(f"{outcome} {_and(rivals)}{ending}")
        return f"On {question} the proxy {_and(parts)}." if parts else f"Nothing is compared on {question}."

    @cached_property
    def _draws(self) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
        """Accuracies of bootstrap samples of designs, NaN where a sample has no pair."""
        count = len(self.rows)
        chosen = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
        weights = (chosen[:, self.pairs.better] * chosen[:, self.pairs.worse]).astype(np.float64)
        draws = {}
        for question, mask in self.asked.items():
            total = weights[:, mask].sum(axis=1)
            for predictor in self.predictors:
                right = weights[:, mask] @ self.right[predictor][mask]
                draws[question, predictor] = np.divide(
                    100 * right, total, out=np.full(_RESAMPLES, np.nan), where=total > 0
                )
        return draws


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
