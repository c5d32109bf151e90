"""Is a backend right on this machine? Every dtype and shape against the float64 reference.

The same cases serve the tests and `piip-explore kernel --check`.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from piip_explore.ops.operator import deformable_attention
from piip_explore.ops.reference import deformable_attention_reference

TOLERANCES = {"float64": 1e-12, "float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}
"""The largest relative L2 error of an output or a gradient, by dtype."""

RESULTS = ("output", "value", "offsets", "logits")
"""What is compared: the output, and the gradients of the three inputs."""

GRIDS = (((7, 5), (4, 6)), ((1, 9), (3, 4)), ((6, 1), (5, 2)), ((4, 4), (4, 4)), ((3, 3), (9, 7)))
"""Key and query grids: not square, one pixel high or wide, equal, and finer than the key's."""


@dataclass(frozen=True)
class Case:
    """One call: its shapes, its dtype, the memory layout of its inputs, and whether determinism is asked for."""

    width: int
    points: int
    heads: int
    dtype: str
    grids: tuple[tuple[int, int], tuple[int, int]]
    memory: str
    deterministic: bool


FACTORS = {
    "width": (1, 6, 12, 16, 24, 32, 36, 48, 100),
    "points": (1, 3, 4, 8),
    "heads": (1, 6, 12, 16),
    "dtype": ("float32", "float16", "bfloat16"),
    "grids": GRIDS,
    "memory": ("dense", "strided", "expanded"),
    "deterministic": (False, True),
}
"""What the cases vary."""


def covering_cases() -> list[Case]:
    """Return cases in which every two values of every two factors meet: about fifty instead of 12,960."""
    names, choices = list(FACTORS), [list(values) for values in FACTORS.values()]
    pairs = list(itertools.combinations(range(len(names)), 2))
    missing = {(i, a, j, b) for i, j in pairs for a in range(len(choices[i])) for b in range(len(choices[j]))}
    draw = random.Random(0)
    cases = []
    while missing:
        first = min(missing)
        best, met = [0] * len(names), set[tuple[int, int, int, int]]()
        for _ in range(60):
            row = [draw.randrange(len(values)) for values in choices]
            row[first[0]], row[first[2]] = first[1], first[3]
            meets = {(i, row[i], j, row[j]) for i, j in pairs} & missing
            if len(meets) > len(met):
                best, met = row, meets
        missing -= met
        cases.append(_case({name: choices[i][best[i]] for i, name in enumerate(names)}))
    return cases


def all_cases() -> Iterator[Case]:
    """Yield every width with every number of points and heads in every dtype, the other factors taking turns."""
    crossed = itertools.product(*(FACTORS[name] for name in ("width", "points", "heads", "dtype")))
    turns = list(itertools.product(*(FACTORS[name] for name in ("grids", "memory", "deterministic"))))
    for number, (width, points, heads, dtype) in enumerate(crossed):
        grids, memory, deterministic = turns[number % len(turns)]
        yield _case(
            {
                "width": width,
                "points": points,
                "heads": heads,
                "dtype": dtype,
                "grids": grids,
                "memory": memory,
                "deterministic": deterministic,
            }
        )


def _case(values: dict[str, object]) -> Case:
    return Case(**values)  # type: ignore[arg-type]


def inputs(case: Case, device: torch.device | str, batch: int = 2, seed: int = 0) -> list[Tensor]:
    """Return value, offsets, logits and an upstream gradient for `case`, laid out as it says.

    Offsets are a few pixels wide, so that some samples leave the map; every eighth query has whole offsets, so that
    equal grids sample pixel centres, where the derivative has two sides.
    """
    generator = torch.Generator().manual_seed(seed)
    (height, width), (query_height, query_width) = case.grids
    queries, channels = query_height * query_width, case.heads * case.width
    shapes = [
        (batch, height * width, channels),
        (batch, queries, case.heads, case.points, 2),
        (batch, queries, case.heads, case.points),
        (batch, queries, channels),
    ]
    drawn = [torch.randn(shape, generator=generator) for shape in shapes]
    drawn[1] *= 2
    drawn[1][:, ::8] = drawn[1][:, ::8].round()
    return [_laid_out(tensor.to(device, getattr(torch, case.dtype)), case.memory) for tensor in drawn]


def _laid_out(tensor: Tensor, memory: str) -> Tensor:
    if memory == "expanded":
        return tensor[:1].expand_as(tensor)
    if memory == "strided":
        return tensor.transpose(0, 1).contiguous().transpose(0, 1)
    return tensor


def errors(case: Case, device: torch.device | str, backend: str | None = None, batch: int = 2) -> dict[str, float]:
    """Return the relative L2 error of the output and the three gradients, by name, against the reference."""
    *arguments, upstream = inputs(case, device, batch)
    with determinism(case.deterministic):
        found = results(functools.partial(deformable_attention, backend=backend), case, arguments, upstream)
    wide = [tensor.double() for tensor in arguments]
    wanted = results(deformable_attention_reference, case, wide, upstream.double())
    return {name: relative_error(a, b) for name, a, b in zip(RESULTS, found, wanted, strict=True)}


@dataclass(frozen=True)
class Verdict:
    """The largest errors over the cases of one dtype, and the case that was worst."""

    dtype: str
    cases: int
    tolerance: float
    errors: dict[str, float]
    worst_case: str

    @property
    def passed(self) -> bool:
        """Whether every error is within the tolerance."""
        return all(error <= self.tolerance for error in self.errors.values())


def check(device: torch.device, backend: str | None = None) -> list[Verdict]:
    """Compare every covering case with the reference: one verdict per dtype."""
    verdicts = []
    for dtype in ("float32", "float16", "bfloat16"):
        cases = [case for case in covering_cases() if case.dtype == dtype]
        found = [errors(case, device, backend) for case in cases]
        worst = max(range(len(cases)), key=lambda number: max(found[number].values()))
        largest = {name: max(error[name] for error in found) for name in RESULTS}
        verdicts.append(Verdict(dtype, len(cases), TOLERANCES[dtype], largest, str(cases[worst])))
    return verdicts


def format_table(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a table, and the worst case of each dtype that failed."""
    lines = [f"{'relative L2':12}{'cases':>6}" + "".join(f"{name:>10}" for name in RESULTS) + f"{'limit':>10}"]
    for verdict in verdicts:
        figures = "".join(f"{verdict.errors[name]:10.1e}" for name in RESULTS)
        mark = "passed" if verdict.passed else f"FAILED, worst: {verdict.worst_case}"
        lines.append(f"{verdict.dtype:12}{verdict.cases:6}{figures}{verdict.tolerance:10.0e}  {mark}")
    return "\n".join(lines)


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Return |found - wanted| / |wanted| in the L2 norm; infinite where something is found in place of zeros or NaN."""
    distance = (found.double() - wanted.double()).norm().item()
    if distance == 0:
        return 0.0
    size = wanted.double().norm().item()
    return distance / size if size > 0 and math.isfinite(distance) else math.inf


@contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """Ask PyTorch for deterministic algorithms, or not, within the block."""
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


def results(compute: Callable[..., Tensor], case: Case, arguments: Sequence[Tensor], upstream: Tensor) -> list[Tensor]:
    """Return the output of `compute` (the operator or its reference) and its gradients, in the order of `RESULTS`."""
    leaves = [tensor.detach().requires_grad_() for tensor in arguments]
    output = compute(*leaves, *case.grids)
    return [output.detach(), *torch.autograd.grad(output, leaves, upstream)]
