"""The operator on a GPU: both backends, every shape and dtype, large tensors, CUDA graphs, compilation, memory."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from piip_explore.ops import backend_name, bench, deformable_attention, triton_backend
from piip_explore.ops.check import FACTORS, TOLERANCES, all_cases, determinism, errors, relative_error
from piip_explore.testing.operators import BackendContract


class TestTritonOnGpu(BackendContract):
    backend = "triton"
    device = "cuda"


class TestTritonGatheringOnGpu(BackendContract):
    backend = "triton"
    device = "cuda"

    @pytest.fixture(autouse=True)
    def _gather(self, monkeypatch):
        monkeypatch.setattr(triton_backend, "VALUE_GRADIENT_BY", "gathering")


class TestTorchOnGpu(BackendContract):
    backend = "torch"
    device = "cuda"


def test_triton_is_chosen():
    assert backend_name("cuda") == "triton"


@pytest.mark.parametrize("dtype", FACTORS["dtype"])
@pytest.mark.parametrize("width", FACTORS["width"])
def test_every_number_of_points_and_heads(width, dtype):
    """The full product of width, points, heads and dtype; grids, memory layout and determinism take turns."""
    cases = [case for case in all_cases() if case.width == width and case.dtype == dtype]
    worst = {case: max(errors(case, "cuda", "triton").values()) for case in cases}
    assert len(worst) == len(FACTORS["points"]) * len(FACTORS["heads"])
    assert max(worst.values()) <= TOLERANCES[dtype], max(worst, key=worst.get)


def pair(dtype=torch.bfloat16, batch=2, requires_grad=True):
    """ViT-B@1120 reads ViT-S@1568."""
    shape = next(shape for shape in bench.shapes(torch.device("cuda")) if shape.name == "B@1120 reads S@1568")
    generator = torch.Generator("cuda").manual_seed(0)
    keys, queries = 98 * 98, 70 * 70
    sizes = [(batch, keys, 384), (batch, queries, 16, 4, 2), (batch, queries, 16, 4), (batch, queries, 384)]
    *leaves, upstream = [torch.randn(s, generator=generator, device="cuda", dtype=dtype) for s in sizes]
    return [leaf.requires_grad_(requires_grad) for leaf in leaves], upstream, (shape.key_grid, shape.query_grid)


def test_backends_agree_at_full_size():
    leaves, upstream, grids = pair(torch.float32)
    found, wanted = (
        torch.autograd.grad(deformable_attention(*leaves, *grids, backend=name), leaves, upstream)
        for name in ("triton", "torch")
    )
    assert all(relative_error(a, b) < 2e-6 for a, b in zip(found, wanted, strict=True))


def test_gathering_agrees_with_adding_at_full_size(monkeypatch):
    leaves, upstream, grids = pair(torch.float32)
    found = []
    for way in ("adding", "gathering"):
        monkeypatch.setattr(triton_backend, "VALUE_GRADIENT_BY", way)
        found.append(torch.autograd.grad(deformable_attention(*leaves, *grids), leaves[0], upstream)[0])
    assert relative_error(*found) < 2e-6


def test_deterministic_gradients_repeat_at_full_size():
    leaves, upstream, grids = pair()
    with determinism(True):
        first, second = (torch.autograd.grad(deformable_attention(*leaves, *grids), leaves, upstream) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_cuda_graph_replays_forward_and_backward():
    leaves, upstream, grids = pair()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        torch.autograd.grad(deformable_attention(*leaves, *grids), leaves, upstream)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        recorded = torch.autograd.grad(deformable_attention(*leaves, *grids), leaves, upstream)
    with torch.no_grad():
        for tensor in [*leaves, upstream]:
            tensor.copy_(torch.randn_like(tensor))
    graph.replay()
    again = torch.autograd.grad(deformable_attention(*leaves, *grids), leaves, upstream)
    assert all(relative_error(a, b) < 1e-2 for a, b in zip(recorded, again, strict=True))


def test_compiled_by_inductor_in_one_graph():
    leaves, upstream, grids = pair()

    def step(value, offsets, logits):
        return deformable_attention(value * 2, offsets, logits, *grids) + 1

    compiled = torch.compile(step, fullgraph=True)
    found = torch.autograd.grad(compiled(*leaves), leaves, upstream)
    wanted = torch.autograd.grad(step(*leaves), leaves, upstream)
    assert all(relative_error(a, b) < 1e-2 for a, b in zip(found, wanted, strict=True))


def test_autocast_and_checkpointing():
    leaves, upstream, grids = pair(torch.float32)
    with torch.autocast("cuda", torch.bfloat16):
        out = checkpoint(lambda *x: deformable_attention(*x, *grids), *leaves, use_reentrant=False)
    assert out.dtype == torch.bfloat16
    out.backward(upstream.bfloat16())
    wanted = torch.autograd.grad(deformable_attention(*leaves, *grids), leaves, upstream)
    assert all(relative_error(leaf.grad, b) < 1e-2 for leaf, b in zip(leaves, wanted, strict=True))


@pytest.mark.parametrize("deterministic", [False, True])
def test_peak_memory_stays_below_one_float32_value_and_the_gradients(deterministic):
    """Of forward and backward, above inputs, output and upstream gradient."""
    for shape in list(bench.shapes(torch.device("cuda")))[:4]:
        with determinism(deterministic):
            used, limit = bench.extra_memory(deformable_attention, shape, torch.bfloat16, torch.device("cuda"))
        assert 0 < used < limit, shape


def test_more_than_two_to_the_31_elements():
    """128 images of 112x112 at 1,600 channels: the last image's rows lie beyond 32-bit offsets."""
    if torch.cuda.get_device_properties(0).total_memory < 60 * 2**30:
        pytest.skip("needs 60 GiB of GPU memory")
    batch, side, heads, width, points = 128, 112, 16, 100, 4
    queries, channels = 16 * 16, heads * width
    assert batch * side * side * channels > 2**31
    value = torch.empty(batch, side * side, channels, device="cuda", dtype=torch.bfloat16).normal_()
    offsets = torch.randn(batch, queries, heads, points, 2, device="cuda").requires_grad_()
    logits = torch.randn(batch, queries, heads, points, device="cuda").requires_grad_()
    upstream = torch.randn(batch, queries, channels, device="cuda", dtype=torch.bfloat16)
    value.requires_grad_()
    out = deformable_attention(value, offsets, logits, (side, side), (16, 16))
    of_value, of_offsets, of_logits = torch.autograd.grad(out, [value, offsets, logits], upstream)
    last = [x[-1:].detach().requires_grad_() for x in (value, offsets, logits)]
    alone = deformable_attention(*last, (side, side), (16, 16))
    wanted = torch.autograd.grad(alone, last, upstream[-1:])
    assert torch.equal(out[-1:], alone)
    assert relative_error(of_value[-1:], wanted[0]) < 1e-2
    assert torch.equal(of_offsets[-1:], wanted[1])
    assert torch.equal(of_logits[-1:], wanted[2])


@pytest.mark.parametrize("deterministic", [False, True])
def test_nothing_waits_for_the_device(deterministic):
    leaves, upstream, grids = pair()
    with determinism(deterministic):
        torch.autograd.grad(deformable_attention(*leaves, *grids), leaves, upstream)
        torch.cuda.set_sync_debug_mode("error")
        try:
            torch.autograd.grad(deformable_attention(*leaves, *grids), leaves, upstream)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_kernels_run_on_the_current_stream():
    """Inputs are written on a side stream behind much other work; only kernels on that stream see them."""
    (value, offsets, logits), _, grids = pair(requires_grad=False)
    expected = deformable_attention(value, offsets, logits, *grids)
    late = torch.zeros_like(value)
    busy = torch.randn(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    aside = torch.cuda.Stream()
    with torch.cuda.stream(aside):
        for _ in range(20):
            torch.mm(busy, busy)
        late.copy_(value)
        found = deformable_attention(late, offsets, logits, *grids)
    aside.synchronize()
    assert torch.equal(found, expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_kernels_run_where_the_tensors_are():
    """The current device is another one, and stays it."""
    leaves, upstream, grids = pair()
    wanted = torch.autograd.grad(deformable_attention(*leaves, *grids), leaves, upstream)
    moved = [x.detach().to("cuda:1").requires_grad_() for x in leaves]
    found = torch.autograd.grad(deformable_attention(*moved, *grids), moved, upstream.to("cuda:1"))
    assert torch.cuda.current_device() == 0
    assert all(
        a.device.index == 1 and relative_error(a.cpu(), b.cpu()) < 1e-2 for a, b in zip(found, wanted, strict=True)
    )
