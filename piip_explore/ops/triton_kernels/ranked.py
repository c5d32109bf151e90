"""Lists of samples by cell without a sort: each sample takes a number in its cell, and its place follows from sums."""

# Kernels are typed by their launch, not by annotations.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["samples", "outside"])
def rank_kernel(cells, counts, ranks, samples, outside, BLOCK: tl.constexpr):
    """Number the samples of each cell, in any order, into `ranks`; add cell c's number of samples to counts[c + 1].

    Samples of cells from `outside` on lie outside their map and are left out.
    """
    sample = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = sample < samples
    cell = tl.load(cells + sample, mask=there, other=0)
    inside = there & (cell < outside)
    rank = tl.atomic_add(counts + cell + 1, tl.zeros_like(cell) + 1, mask=inside, sem="relaxed")
    tl.store(ranks + sample, rank, mask=inside)


@triton.jit(do_not_specialize=["samples", "outside"])
def list_kernel(cells, ranks, starts, order, samples, outside, BLOCK: tl.constexpr):
    """Write every sample's number into its cell's list, which begins at starts[cell] in `order`."""
    sample = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = sample < samples
    cell = tl.load(cells + sample, mask=there, other=0)
    inside = there & (cell < outside)
    place = tl.load(starts + cell, mask=inside, other=0) + tl.load(ranks + sample, mask=inside, other=0)
    tl.store(order + place, sample, mask=inside)
