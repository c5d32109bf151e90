"""What the Triton backend allocates, counted on the CPU with the kernels' launches left out; no GPU needed."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from piip_explore.errors import InputError
from piip_explore.ops.check import determinism

triton_backend = pytest.importorskip("piip_explore.ops.triton_backend", reason="Triton is not installed")
triton_gathering = pytest.importorskip("piip_explore.ops.triton_gathering", reason="Triton is not installed")

FINE, COARSE = (40, 40), (28, 28)
B, HEADS, POINTS, WIDTH = 2, 16, 4, 12


class NoLaunch:
    """Stands for every kernel: `kernel[grid](...)` does nothing."""

    def __getattr__(self, name):
        return self

    def __getitem__(self, grid):
        return lambda *arguments, **constants: None


@pytest.fixture(autouse=True)
def _no_launch(monkeypatch):
    for module in (triton_backend, triton_gathering):
        monkeypatch.setattr(module, "kernels", NoLaunch())


def peak_bytes(call):
    """The highest sum of allocations, less what was freed meanwhile, in the course of `call`."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = call()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    assert live >= sum(x.numel() * x.element_size() for x in kept)  # the profile saw the results
    return peak


@pytest.mark.parametrize(
    ("deterministic", "way"), [(False, "adding"), (False, "gathering"), (True, "adding")], ids=["add", "gather", "sort"]
)
@pytest.mark.parametrize("grids", [(FINE, COARSE), (COARSE, FINE)], ids=["keys are finer", "queries are finer"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_backward_stays_below_one_float32_value_and_the_gradients(monkeypatch, dtype, grids, deterministic, way):
    monkeypatch.setattr(triton_backend, "VALUE_GRADIENT_BY", way)
    keys, queries = (height * width for height, width in grids)
    shapes = [(B, keys, HEADS * WIDTH), (B, queries, HEADS, POINTS, 2), (B, queries, HEADS, POINTS)]
    inputs = [torch.zeros(shape, dtype=dtype) for shape in shapes]
    upstream = torch.zeros(B, queries, HEADS * WIDTH, dtype=dtype)
    with determinism(deterministic):
        peak = peak_bytes(lambda: triton_backend.backward(upstream, *inputs, *grids, [True, True, True]))
    gradients = sum(x.numel() * x.element_size() for x in inputs)
    assert gradients <= peak < 4 * inputs[0].numel() + gradients


def test_forward_allocates_its_output_alone():
    shapes = [(B, 1600, HEADS * WIDTH), (B, 784, HEADS, POINTS, 2), (B, 784, HEADS, POINTS)]
    inputs = [torch.zeros(shape, dtype=torch.bfloat16) for shape in shapes]
    assert peak_bytes(lambda: [triton_backend.forward(*inputs, FINE, COARSE)]) == 2 * B * 784 * HEADS * WIDTH


def unallocated(*shape):
    return torch.zeros(1).expand(shape)


@pytest.mark.parametrize(
    ("keys", "queries", "heads", "width", "named"),
    [
        ((1024, 1024), (1, 1), 1, 2048, "value has 2,147,483,648 elements"),
        ((1, 1), (1024, 1024), 1024, 1, "offsets has 2,147,483,648 elements"),
        ((1, 1), (1024, 1024), 1, 2048, "output has 2,147,483,648 elements"),
        ((1, 2**30 - 1), (1, 1), 1, 1, "key map with its border has 2,147,483,648 elements"),
        ((1, 1_000_000), (1, 1200), 1, 1, "a key map 1,000,000 pixels wide and queries 1,200 wide"),
        ((2**20, 1), (1025, 1), 1, 1, "a key map 1,048,576 pixels high and queries 1,025 high"),
    ],
)
def test_more_than_32_bits_count_is_refused(keys, queries, heads, width, named):
    value = unallocated(1, keys[0] * keys[1], heads * width)
    offsets = unallocated(1, queries[0] * queries[1], heads, 1, 2)
    logits = unallocated(1, queries[0] * queries[1], heads, 1)
    with pytest.raises(InputError, match=rf"{named}.*backend='torch'"):
        triton_backend.forward(value, offsets, logits, keys, queries)
    with pytest.raises(InputError, match=rf"{named}.*backend='torch'"):
        triton_backend.backward(value[:, :1], value, offsets, logits, keys, queries, [True] * 3)
