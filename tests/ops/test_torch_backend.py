"""The PyTorch backend on the CPU: the contract, and every pair of factors."""

import pytest

from piip_explore.ops.check import TOLERANCES, all_cases, covering_cases, errors
from piip_explore.testing.operators import BackendContract


class TestTorchOnCpu(BackendContract):
    backend = "torch"
    device = "cpu"


@pytest.mark.parametrize("case", covering_cases(), ids=str)
def test_covering_case(case):
    assert max(errors(case, "cpu", "torch").values()) <= TOLERANCES[case.dtype]


@pytest.mark.slow
def test_every_width_points_heads_and_dtype():
    worst = {case: max(errors(case, "cpu", "torch").values()) / TOLERANCES[case.dtype] for case in all_cases()}
    assert len(worst) == 9 * 4 * 4 * 3
    assert max(worst.values()) <= 1, max(worst, key=worst.get)
