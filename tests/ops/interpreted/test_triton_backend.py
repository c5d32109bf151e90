"""The Triton kernels on the CPU, interpreted: the contract, and every pair of factors."""

import pytest

from piip_explore.ops.check import TOLERANCES, covering_cases, errors
from piip_explore.ops.testing import BackendContract


class TestTritonInterpreted(BackendContract):
    backend = "triton"
    device = "cpu"


@pytest.mark.parametrize("case", covering_cases(), ids=str)
def test_covering_case(case):
    batch = 1 if case.heads > 6 else 2  # a second image doubles the programs; few heads show it as well
    assert max(errors(case, "cpu", "triton", batch).values()) <= TOLERANCES[case.dtype]


def test_the_launch_table_as_it_is(monkeypatch):
    """One case in the tiles that a GPU gets: several per head, the last one partly empty."""
    from piip_explore.ops import launch, triton_backend

    monkeypatch.setattr(triton_backend, "launch", launch.launch)
    case = next(case for case in covering_cases() if case.width == 24 and case.heads == 1)
    assert max(errors(case, "cpu", "triton").values()) <= TOLERANCES[case.dtype]
