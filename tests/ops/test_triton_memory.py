"""What the Triton backend allocates, counted on the CPU with the kernels' launches left out; no GPU needed."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from piip_explore.errors import InputError

triton_backend = pytest.importorskip("piip_explore.ops.triton_backend", reason="Triton is not installed")

GRIDS = ((40, 40), (28, 28))
B, S, Q, HEADS, POINTS, WIDTH = 2, 1600, 784, 16, 4, 24


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_backward_stays_below_one_float32_value_and_the_gradients(monkeypatch, dtype):
    monkeypatch.setattr(triton_backend, "kernels", NoLaunch())
    shapes = [(B, S, HEADS * WIDTH), (B, Q, HEADS, POINTS, 2), (B, Q, HEADS, POINTS), (B, Q, HEADS * WIDTH)]
    *inputs, upstream = (torch.zeros(shape, dtype=dtype) for shape in shapes)
    peak = peak_bytes(lambda: triton_backend.backward(upstream, *inputs, *GRIDS, [True, True, True]))
    gradients = sum(x.numel() * x.element_size() for x in inputs)
    assert gradients <= peak < 4 * inputs[0].numel() + gradients


def test_forward_allocates_its_output_alone(monkeypatch):
    monkeypatch.setattr(triton_backend, "kernels", NoLaunch())
    shapes = [(B, S, HEADS * WIDTH), (B, Q, HEADS, POINTS, 2), (B, Q, HEADS, POINTS)]
    inputs = [torch.zeros(shape, dtype=torch.bfloat16) for shape in shapes]
    assert peak_bytes(lambda: [triton_backend.forward(*inputs, *GRIDS)]) == 2 * B * Q * HEADS * WIDTH


def test_an_image_of_more_than_two_to_the_31_elements_is_refused():
    value = torch.zeros(1).expand(1, 2**20, 2048)
    with pytest.raises(InputError, match=r"one image's value has 2,147,483,648 elements.*backend='torch'"):
        triton_backend.forward(value, torch.zeros(1, 1, 1, 1, 2), torch.zeros(1, 1, 1, 1), (1024, 1024), (1, 1))
