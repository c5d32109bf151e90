"""What the Triton backend allocates, counted on the CPU with the kernels' launches left out; no GPU needed."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from piip_explore.errors import InputError
from piip_explore.ops.check import determinism

triton_backend = pytest.importorskip("piip_explore.ops.triton_backend", reason="Triton is not installed")

FINE, COARSE = (40, 40), (28, 28)
B, HEADS, POINTS, WIDTH = 2, 16, 4, 12


class NoLaunch:
    """Stands for every kernel: `kernel[grid](...)` does nothing."""

    def __getattr__(self, name):
        return self

    def __getitem__(self, grid):
        return lambda *arguments, **constants: None


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


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("grids", [(FINE, COARSE), (COARSE, FINE)], ids=["keys are finer", "queries are finer"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_backward_stays_below_one_float32_value_and_the_gradients(monkeypatch, dtype, grids, deterministic):
    monkeypatch.setattr(triton_backend, "kernels", NoLaunch())
    keys, queries = (height * width for height, width in grids)
    shapes = [(B, keys, HEADS * WIDTH), (B, queries, HEADS, POINTS, 2), (B, queries, HEADS, POINTS)]
    inputs = [torch.zeros(shape, dtype=dtype) for shape in shapes]
    upstream = torch.zeros(B, queries, HEADS * WIDTH, dtype=dtype)
    with determinism(deterministic):
        peak = peak_bytes(lambda: triton_backend.backward(upstream, *inputs, *grids, [True, True, True]))
    gradients = sum(x.numel() * x.element_size() for x in inputs)
    assert gradients <= peak < 4 * inputs[0].numel() + gradients


def test_forward_allocates_its_output_alone(monkeypatch):
    monkeypatch.setattr(triton_backend, "kernels", NoLaunch())
    shapes = [(B, 1600, HEADS * WIDTH), (B, 784, HEADS, POINTS, 2), (B, 784, HEADS, POINTS)]
    inputs = [torch.zeros(shape, dtype=torch.bfloat16) for shape in shapes]
    assert peak_bytes(lambda: [triton_backend.forward(*inputs, FINE, COARSE)]) == 2 * B * 784 * HEADS * WIDTH


def test_an_image_of_more_than_two_to_the_31_elements_is_refused():
    value = torch.zeros(1).expand(1, 2**20, 2048)
    with pytest.raises(InputError, match=r"one image's value has 2,147,483,648 elements.*backend='torch'"):
        triton_backend.forward(value, torch.zeros(1, 1, 1, 1, 2), torch.zeros(1, 1, 1, 1), (1024, 1024), (1, 1))
