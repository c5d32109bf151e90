"""The suite accepts what keeps the contract, and says which part another breaks."""

import math
import random
from dataclasses import dataclass

import pytest

from piip_explore.search.evaluators import Outcome
from piip_explore.testing.evaluators import EvaluatorContract
from piip_explore.testing.synthetic import evaluator, synthetic_pool


class TestReplay(EvaluatorContract):
    design = str(synthetic_pool().design(0))

    def make(self):
        return evaluator(synthetic_pool(), noise=0.5, delay=0.1)


@dataclass(frozen=True)
class Sloppy:
    fault: str

    def describe(self):
        return {"kind": "sloppy", "rate": math.nan if self.fault == "describes itself" else 0.1}

    def conditions(self, device):
        return {} if self.fault == "says what" else {"code_version": "1", "kernel_backend": "torch"}

    def evaluate(self, task, progress):
        try:
            for share in (0.5, 0.2 if self.fault == "scores a design" else 1.0):
                progress(share)
        except Exception:
            if self.fault != "stops when":
                raise
        score = random.random() if self.fault == "gives the same" else 1.0
        return Outcome("ok", score, None, 0.0)


SUITE = [name for name in dir(EvaluatorContract) if name.startswith("test_")]


@pytest.mark.parametrize(
    "fault", ["describes itself", "says what", "scores a design", "gives the same", "stops when", "none"]
)
def test_a_fault_fails_its_test_and_no_other(fault):
    class Suite(EvaluatorContract):
        __test__ = False

        def make(self):
            return Sloppy(fault)

    failed = []
    for name in SUITE:
        try:
            getattr(Suite(), name)()
        except (AssertionError, ValueError):
            failed.append(name)
    assert failed == [name for name in SUITE if name.startswith("test_" + fault.replace(" ", "_"))]
