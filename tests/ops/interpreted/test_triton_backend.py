"""The Triton kernels on the CPU, interpreted: the contract, and every pair of factors."""

import pytest

from piip_explore.ops import launch, triton_backend
from piip_explore.ops.check import TOLERANCES, Case, covering_cases, errors
from piip_explore.ops.testing import BackendContract


class TestTritonInterpreted(BackendContract):
    backend = "triton"
    device = "cpu"


@pytest.mark.parametrize("case", covering_cases(), ids=str)
def test_covering_case(case):
    batch = 1 if case.heads > 6 else 2  # a second image doubles the programs; few heads show it as well
    assert max(errors(case, "cpu", "triton", batch).values()) <= TOLERANCES[case.dtype]


@pytest.mark.parametrize("width", [12, 36])
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_launch_table_as_it_is(monkeypatch, width, deterministic):
    """In the tiles that a GPU gets: several per head, the last one partly empty, and rows in pieces, likewise."""
    for name in ("launch", "launch_whole_rows"):
        monkeypatch.setattr(triton_backend, name, getattr(launch, name))
    case = Case(width, 3, 1, "float32", ((5, 3), (6, 7)), "dense", deterministic)
    assert max(errors(case, "cpu", "triton").values()) <= TOLERANCES[case.dtype]


@pytest.mark.parametrize("maps", [1, 2, 4])
def test_deterministic_gradients_of_some_maps_at_a_time(monkeypatch, maps):
    """Three heads of two images, one, two and four at a time: within an image, across the two, and a rest of two."""
    case = Case(6, 3, 3, "float32", ((4, 3), (5, 2)), "dense", deterministic=True)
    monkeypatch.setattr(triton_backend, "ORDERED_BYTES_PER_CELL", 0)
    value_bytes, samples_per_map = 4 * 2 * 12 * 18, 10 * 3
    monkeypatch.setattr(triton_backend, "ORDERED_BYTES_PER_SAMPLE", value_bytes // samples_per_map // maps)
    counts = []
    gather = triton_backend._gather_maps
    monkeypatch.setattr(triton_backend, "_gather_maps", lambda *given: (counts.append(given[-1]), gather(*given)))
    assert max(errors(case, "cpu", "triton").values()) <= TOLERANCES[case.dtype]
    assert counts == [maps] * (6 // maps) + [6 % maps] * (6 % maps > 0)
