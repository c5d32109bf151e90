"""How fast is the operator on this machine? Pairs of published PIIP branches, each backend beside `grid_sample`.

On a GPU a time is that of the kernels alone: a CUDA graph records calls with enough sets of inputs to exceed the
level-2 cache twice, events time its replay, and the median of 30 replays is divided by the calls. On a CPU it is the
median wall time of three calls.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from piip_explore.ops.backends import backend_name
from piip_explore.ops.operator import deformable_attention

HEADS, POINTS, RATIO = 16, 4, 0.5
"""What all published models use."""


@dataclass(frozen=True)
class Shape:
    """One direction of one pair: the queries of one branch read the map of the other."""

    name: str
    batch: int
    query_grid: tuple[int, int]
    key_grid: tuple[int, int]
    width: int
    heads: int = HEADS


@dataclass(frozen=True)
class Timing:
    """One row of the table. Times in seconds, bandwidth in bytes per second, of the least traffic possible.

    `forward_over_copy` is the bandwidth as a fraction of what a plain copy reaches; the `..._speedup` are against
    PyTorch's `grid_sample` form. `extra_bytes` is the peak of forward and backward above inputs, output and upstream
    gradient, `extra_limit` one value in float32 plus the gradients; both are 0 where the device does not count memory.
    """

    shape: str
    batch: int
    width: int
    dtype: str
    backend: str
    forward: float
    both: float
    bandwidth: float
    forward_over_copy: float
    forward_speedup: float
    both_speedup: float
    extra_bytes: int
    extra_limit: int


TOY = Shape("toy", 1, (1, 2), (2, 1), 2, heads=1)
"""A shape for trying the benchmarks themselves."""

_BRANCHES = {
    "T": 192,
    "S": 384,
    "B": 768,
    "L": 1024,
    "H": 1280,
    "6B": 3200,
}
_PAIRS = [
    ("T", 1568, "S", 1120, 2),
    ("S", 1568, "B", 1120, 2),
    ("B", 1120, "L", 672, 2),
    ("L", 1280, "H", 1024, 2),
    ("H", 1024, "6B", 512, 2),
    ("S", 384, "B", 192, 64),
]


def shapes(device: torch.device) -> Iterator[Shape]:
    """Yield both directions of pairs of published designs, patches of 16; on a CPU the smallest pair, four images."""
    pairs = _PAIRS if device.type == "cuda" else [(*_PAIRS[-1][:4], 4)]
    for one, one_size, other, other_size, batch in pairs:
        for query, query_size, key, key_size in (
            (other, other_size, one, one_size),
            (one, one_size, other, other_size),
        ):
            yield Shape(
                f"{query}@{query_size} reads {key}@{key_size}",
                batch,
                (query_size // 16, query_size // 16),
                (key_size // 16, key_size // 16),
                int(_BRANCHES[query] * RATIO) // HEADS,
            )


def grid_sample_form(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: tuple[int, int], query_grid: tuple[int, int]
) -> Tensor:
    """Compute the operator as PyTorch code usually does: normalised locations, `grid_sample`, a weighted sum."""
    batch, queries, heads, points, _ = offsets.shape
    (height, width), (query_height, query_width) = key_grid, query_grid
    centre_y = (torch.arange(query_height, device=value.device) + 0.5) / query_height
    centre_x = (torch.arange(query_width, device=value.device) + 0.5) / query_width
    centres = torch.stack(torch.meshgrid(centre_x, centre_y, indexing="xy"), -1).reshape(1, queries, 1, 1, 2)
    moved = torch.stack([offsets[..., 0] / width, offsets[..., 1] / height], -1)
    grid = (2 * (centres + moved) - 1).to(value.dtype)
    maps = value.view(batch, height, width, heads, -1).permute(0, 3, 4, 1, 2).flatten(0, 1)
    grid = grid.permute(0, 2, 1, 3, 4).flatten(0, 1)
    sampled = F.grid_sample(maps, grid, align_corners=False)
    weights = logits.softmax(-1).transpose(1, 2).reshape(batch * heads, 1, queries, points)
    return (sampled * weights).sum(-1).view(batch, -1, queries).transpose(1, 2)


def measure(shape: Shape, dtype: torch.dtype, device: torch.device, backend: str, copy: float) -> Timing:
    """Time one shape; `copy` is the device's copy bandwidth in bytes per second."""
    ours = functools.partial(deformable_attention, backend=backend)
    forward, both = _times(ours, shape, dtype, device)
    sampled_forward, sampled_both = _times(grid_sample_form, shape, dtype, device)
    least = sum(x.numel() * x.element_size() for x in _inputs(shape, dtype, device))  # the upstream's is the output's
    extra, limit = extra_memory(ours, shape, dtype, device) if device.type == "cuda" else (0, 0)
    return Timing(
        shape.name,
        shape.batch,
        shape.width,
        str(dtype).removeprefix("torch."),
        backend,
        forward,
        both,
        least / forward,
        least / forward / copy,
        sampled_forward / forward,
        sampled_both / both,
        extra,
        limit,
    )


def table(device: torch.device, backend: str | None = None) -> Iterator[Timing]:
    """Time every shape through the backend chosen for `device`: in all dtypes on a GPU, in float32 on a CPU."""
    dtypes = [torch.bfloat16, torch.float16, torch.float32] if device.type == "cuda" else [torch.float32]
    name = backend_name(device, backend)
    copy = copy_bandwidth(device)
    for dtype in dtypes:
        for shape in shapes(device):
            yield measure(shape, dtype, device, name, copy)


HEADING = (
    f"{'queries read keys':24}{'batch':>6}{'width':>6}  {'dtype':10}{'fwd us':>9}{'+bwd us':>9}{'GB/s':>7}"
    f"{'of copy':>9}{'x fwd':>7}{'x +bwd':>7}{'extra MB':>10}{'limit':>8}"
)
"""The columns of `format_row`: microseconds, gigabytes per second, ratios, megabytes."""

LEGEND = "x: times faster than the grid_sample form; extra: peak memory of forward and backward"


def format_row(row: Timing) -> str:
    """Return one line of the table."""
    return (
        f"{row.shape:24}{row.batch:6}{row.width:6}  {row.dtype:10}{row.forward * 1e6:9.1f}{row.both * 1e6:9.1f}"
        f"{row.bandwidth / 1e9:7.0f}{row.forward_over_copy:9.1%}{row.forward_speedup:7.1f}{row.both_speedup:7.1f}"
        f"{row.extra_bytes / 1e6:10.1f}{row.extra_limit / 1e6:8.1f}"
    )


def environment(device: torch.device, backend: str | None = None) -> dict[str, str]:
    """Return what a result depends on: device, versions, and the backend chosen."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": name,
        "backend": backend_name(device, backend),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "cuda": torch.version.cuda or "none",
        "python": platform.python_version(),
        "piip-explore": _version("piip-explore"),
    }


def _version(package: str) -> str:
    """Return the installed version, or "none": a checkout may be run without being installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes read and written per second by a plain copy of a tensor far larger than the caches."""
    source = torch.ones(2**28 if device.type == "cuda" else 2**25, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / seconds([lambda: target.copy_(source)], device)


def input_sets(shape: Shape, dtype: torch.dtype, device: torch.device) -> list[list[Tensor]]:
    """Return sets of value, offsets, logits and upstream gradient: on a GPU twice the cache."""
    sets = [_inputs(shape, dtype, device)]
    if device.type == "cuda":
        one = sum(x.numel() * x.element_size() for x in sets[0])
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        sets += [_inputs(shape, dtype, device) for _ in range(max(1, -(-2 * cache // one) - 1))]
    return sets


def _inputs(shape: Shape, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    queries, keys = (height * width for height, width in (shape.query_grid, shape.key_grid))
    channels = shape.heads * shape.width
    return [
        torch.randn(shape.batch, keys, channels, dtype=dtype, device=device),
        torch.randn(shape.batch, queries, shape.heads, POINTS, 2, dtype=dtype, device=device).mul_(2),
        torch.randn(shape.batch, queries, shape.heads, POINTS, dtype=dtype, device=device),
        torch.randn(shape.batch, queries, channels, dtype=dtype, device=device),
    ]


def _times(
    attend: Callable[..., Tensor], shape: Shape, dtype: torch.dtype, device: torch.device
) -> tuple[float, float]:
    """Return the seconds of a forward pass, and of a forward and backward pass."""
    arguments = input_sets(shape, dtype, device)

    def forward(inputs: list[Tensor]) -> Tensor:
        with torch.no_grad():
            return attend(*inputs[:3], shape.key_grid, shape.query_grid)

    def both(inputs: list[Tensor]) -> object:
        leaves = [x.detach().requires_grad_() for x in inputs[:3]]
        return torch.autograd.grad(attend(*leaves, shape.key_grid, shape.query_grid), leaves, inputs[3])

    calls = [functools.partial(forward, inputs) for inputs in arguments]
    double_calls = [functools.partial(both, inputs) for inputs in arguments]
    return seconds(calls, device), seconds(double_calls, device)


def seconds(calls: Sequence[Callable[[], object]], device: torch.device) -> float:
    """Return the median seconds of one of `calls`, as the module says."""
    if device.type != "cuda":
        return float(statistics.median(_wall_time(call) for call in [*calls] * 3))
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # compiles, and fills the allocator, outside the graph
            for call in calls[:2]:
                call()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for call in calls:
                call()
        for _ in range(3):
            graph.replay()
        replays = []
        for _ in range(30):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            replays.append(start.elapsed_time(end) / 1e3)
    return float(statistics.median(replays)) / len(calls)


def _wall_time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def extra_memory(
    attend: Callable[..., Tensor], shape: Shape, dtype: torch.dtype, device: torch.device
) -> tuple[int, int]:
    """Return the peak bytes of forward and backward above inputs, output and upstream gradient, and what is allowed.

    That is one value in float32 plus the gradients. A first call, whose peak does not count, compiles the kernels.
    """
    *inputs, upstream = _inputs(shape, dtype, device)
    leaves = [x.requires_grad_() for x in inputs]
    for _ in range(2):
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        out = attend(*leaves, shape.key_grid, shape.query_grid)
        torch.autograd.grad(out, leaves, upstream)
        torch.cuda.synchronize(device)
        used = torch.cuda.max_memory_allocated(device) - before - out.numel() * out.element_size()
        del out
    return used, 4 * inputs[0].numel() + sum(x.numel() * x.element_size() for x in inputs)
