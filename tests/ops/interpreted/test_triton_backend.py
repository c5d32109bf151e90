"""The Triton kernels on the CPU, interpreted: the contract, and every pair of factors."""

from dataclasses import replace

import pytest
import torch

from piip_explore.ops import deformable_attention, launch, triton_backend, triton_gathering
from piip_explore.ops.check import FACTORS, TOLERANCES, Case, covering_cases, determinism, errors, relative_error
from piip_explore.ops.launch import Program
from piip_explore.ops.triton_kernels import ordered
from piip_explore.testing.operators import BackendContract

FEWER_HEADS = dict(zip(FACTORS["heads"], (1, 2, 3, 4), strict=True))


class TestTritonInterpreted(BackendContract):
    backend = "triton"
    device = "cpu"


class TestTritonGathering(BackendContract):
    backend = "triton"
    device = "cpu"

    @pytest.fixture(autouse=True)
    def _gather(self, monkeypatch):
        monkeypatch.setattr(triton_backend, "VALUE_GRADIENT_BY", "gathering")
        monkeypatch.setattr(triton_backend, "_added_value_gradient", None)


@pytest.mark.parametrize("case", covering_cases(), ids=str)
def test_covering_case(case):
    """Every head of every image is a program of its own: fewer heads, and of several one image, show it as well."""
    case = replace(case, heads=FEWER_HEADS[case.heads])
    batch = 2 if case.heads == 1 else 1
    assert max(errors(case, "cpu", "triton", batch).values()) <= TOLERANCES[case.dtype]


@pytest.mark.parametrize("width", [12, 36])
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_launch_table_as_it_is(monkeypatch, width, deterministic):
    """In the tiles that a GPU gets: several per head, the last one partly empty, and rows in pieces, likewise."""
    monkeypatch.setattr(triton_backend, "launch", launch.launch)
    monkeypatch.setattr(triton_gathering, "launch_whole_rows", launch.launch_whole_rows)
    case = Case(width, 3, 1, "float32", ((5, 3), (6, 7)), "dense", deterministic)
    assert max(errors(case, "cpu", "triton").values()) <= TOLERANCES[case.dtype]


@pytest.mark.parametrize("program", [Program(2, 1, square=True), Program(1, 4, square=True, ahead=True)])
@pytest.mark.parametrize("grids", [((5, 3), (6, 7)), ((4, 4), (1, 9)), ((4, 4), (17, 2))])
def test_square_tiles_and_offsets_first(monkeypatch, program, grids):
    """Tiles 4 x 4 and 8 x 16, in maps that are smaller than one or do not divide into them."""
    monkeypatch.setattr(triton_backend, "launch", launch.launch)
    for name in ("FORWARD", "SAMPLING_GRADIENT", "VALUE_GRADIENT"):
        monkeypatch.setattr(triton_backend, name, program)
    case = Case(12, 2, 2, "float32", grids, "dense", deterministic=False)
    assert max(errors(case, "cpu", "triton").values()) <= TOLERANCES[case.dtype]


def test_ranks_list_every_sample_once_by_cell(monkeypatch):
    monkeypatch.setattr(triton_gathering, "RANKED_AT_ONCE", 16)
    number = 7
    cells = torch.randint(0, number + 1, (50,), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    order, starts = triton_gathering._ranked(cells, number)
    sorted_order, sorted_starts = triton_gathering._sorted(cells, number)
    assert torch.equal(starts, sorted_starts)
    for cell in range(number):
        found, wanted = (x[starts[cell] : starts[cell + 1]].tolist() for x in (order, sorted_order))
        assert sorted(found) == wanted


def test_the_largest_query_centres_that_32_bits_hold():
    """The last of 1,200 queries on 895,000 keys: its numerator is just below 2^31."""
    keys, queries = 895_000, 1200
    assert 2**31 - 2 * keys < (2 * queries - 1) * keys + queries < 2**31
    value = torch.arange(keys, dtype=torch.float64).reshape(1, keys, 1) / keys
    offsets, logits = torch.zeros(1, queries, 1, 1, 2), torch.zeros(1, queries, 1, 1)
    found, wanted = (
        deformable_attention(value, offsets, logits, (1, keys), (1, queries), backend=backend)
        for backend in ("triton", "torch")
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("maps", [1, 2, 4])
def test_deterministic_gradients_of_some_maps_at_a_time(monkeypatch, maps):
    """Three heads of two images, one, two and four at a time: within an image, across the two, and a rest of two."""
    case = Case(6, 3, 3, "float32", ((4, 3), (5, 2)), "dense", deterministic=True)
    monkeypatch.setattr(triton_gathering, "BYTES_PER_CELL", 0)
    value_bytes, samples_per_map = 4 * 2 * 12 * 18, 10 * 3
    in_blocks = -(-4 * 6 * 4 // triton_gathering.SUMMED_AT_ONCE)
    monkeypatch.setattr(triton_gathering, "SORTED_BYTES_PER_SAMPLE", value_bytes // samples_per_map // maps - in_blocks)
    counts = []
    gather = triton_gathering._gather_maps
    monkeypatch.setattr(triton_gathering, "_gather_maps", lambda *given: (counts.append(given[-1]), gather(*given)))
    assert max(errors(case, "cpu", "triton").values()) <= TOLERANCES[case.dtype]
    assert counts == [maps] * (6 // maps) + [6 % maps] * (6 % maps > 0)


class Crowd:
    """Two heads whose 36 samples, of nine queries, are in one cell, except one in another and one outside the map."""

    key_grid, query_grid = (2, 3), (3, 3)

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        places = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="xy"), -1).reshape(-1, 2)
        centres = (places + 0.5) * torch.tensor([3 / 3, 2 / 3]) - 0.5
        aims = 0.25 + 0.5 * torch.rand(9, 2, 4, 2, generator=generator)
        self.offsets = (aims - centres[:, None, None])[None]
        self.offsets[0, 4, 0, 1] = 1.0
        self.offsets[0, 7, 1, 2] = 50.0
        self.value, self.upstream = (torch.randn(1, n, 10, generator=generator) for n in (6, 9))
        self.logits = torch.randn(1, 9, 2, 4, generator=generator)

    def gradient(self, backend):
        leaf = self.value.clone().requires_grad_()
        grids = self.key_grid, self.query_grid
        out = deformable_attention(leaf, self.offsets, self.logits, *grids, backend=backend)
        return torch.autograd.grad(out, leaf, self.upstream)[0]


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("block", [2, 4, 64])
def test_crowded_cells_are_summed_in_blocks(monkeypatch, block, deterministic):
    """Blocks, blocks of blocks, and single samples around them; or none, where they are longer than the lists."""
    crowd = Crowd()
    wanted = crowd.gradient("torch")
    monkeypatch.setattr(triton_backend, "VALUE_GRADIENT_BY", "gathering")
    monkeypatch.setattr(triton_gathering, "SUMMED_AT_ONCE", block)
    with determinism(deterministic):
        assert relative_error(crowd.gradient("triton"), wanted) < 1e-6


@pytest.mark.parametrize(("block", "most"), [(4, 2 * (4 - 1)), (64, 36)])
def test_no_list_is_walked_sample_by_sample(monkeypatch, block, most):
    """Only what no whole block holds: at most a block less one, before and behind."""
    turns = []
    shares = ordered.shares
    monkeypatch.setattr(ordered, "shares", lambda *given: (turns.append(1), shares(*given))[1])
    monkeypatch.setattr(triton_gathering, "SUMMED_AT_ONCE", block)
    with determinism(True):
        Crowd().gradient("triton")
    heads, corners = 2, 4
    assert 0 < len(turns) <= heads * corners * most
    assert (len(turns) > heads * corners * 30) == (block == 64)
