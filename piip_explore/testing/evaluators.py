"""The contract of an evaluator: what scores designs in worker processes."""

from __future__ import annotations

import json
import math
import pickle
from abc import ABC, abstractmethod

from piip_explore.design import Design
from piip_explore.search.evaluators import EvaluationTask, Evaluator, Outcome, Place


class EvaluatorContract(ABC):
    """Tests of one evaluator on one small design."""

    design = "vit_tiny@224 vit_small@112; interactions=2"
    """A design that it can score in seconds."""
    fidelity = 1.0
    repeats = True
    """Whether the same task gets the same score again."""

    @abstractmethod
    def make(self) -> Evaluator:
        """Return the evaluator."""

    def _task(self) -> EvaluationTask:
        design = Design.parse(self.design)
        return EvaluationTask(0, str(design), design.id, self.fidelity, 0, Place("cpu"))

    def _score(self, evaluator: Evaluator) -> tuple[Outcome, list[float]]:
        shares: list[float] = []
        return evaluator.evaluate(self._task(), shares.append), shares

    def test_goes_to_workers(self) -> None:
        """It is pickled, and what arrives says the same of itself."""
        evaluator = self.make()
        arrived: Evaluator = pickle.loads(pickle.dumps(evaluator))
        assert arrived.describe() == evaluator.describe()

    def test_describes_itself_in_strict_json(self) -> None:
        """Studies store the description, and compare it when they are resumed."""
        described = self.make().describe()
        assert described
        assert json.loads(json.dumps(described, allow_nan=False)) == described
        assert described == self.make().describe()

    def test_says_what_scores_depend_on(self) -> None:
        """The version of the code and the kernel backend at least."""
        conditions = self.make().conditions("cpu")
        assert {"code_version", "kernel_backend"} <= conditions.keys()
        assert all(isinstance(value, str) for value in conditions.values())

    def test_scores_a_design(self) -> None:
        """A finite score if all is well, else none and the reason; progress never falls."""
        outcome, shares = self._score(self.make())
        assert math.isfinite(outcome.score) == (outcome.status == "ok")
        assert outcome.status == "ok" or outcome.message
        assert outcome.seconds >= 0
        assert outcome.standard_error is None or outcome.standard_error >= 0
        assert shares == sorted(shares)
        assert all(0 <= share <= 1 for share in shares)
        json.dumps([dict(outcome.conditions), dict(outcome.details), outcome.curve], allow_nan=False)
        assert all(seen > 0 for seen, _ in outcome.metric_curve)
        assert isinstance(outcome.picture, bytes)

    def test_gives_the_same_score_again(self) -> None:
        """An interrupted evaluation is begun anew and must not come out otherwise."""
        (first, _), (second, _) = self._score(self.make()), self._score(self.make())
        assert not self.repeats or (first.status, str(first.score)) == (second.status, str(second.score))

    def test_stops_when_progress_says_so(self) -> None:
        """What the progress callback raises ends the evaluation: so are searches stopped."""

        class Stop(Exception):  # noqa: N818 - not an error
            pass

        def stop(share: float) -> None:
            raise Stop

        _, shares = self._score(self.make())
        if not shares:  # it never reports: nothing to stop
            return
        try:
            self.make().evaluate(self._task(), stop)
        except Stop:
            return
        raise AssertionError("the evaluation swallowed what progress raised")
