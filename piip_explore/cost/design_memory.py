"""The memory that a design takes: what training holds, and the least that inference needs. No torch.

In training, weights, gradients and AdamW's two moments are held throughout, and per image all that the forward pass
keeps; in fp32, 4 bytes each. The largest operator's scratch, what a caching allocator leaves unused, and a detector's
head come on top. `benchmarks/memory.py` compares it with training steps whose allocations are counted.

Inference needs the largest working set: the most elements that one operator reads and writes, weights left out, in
whatever order the runtime runs them and however early it frees their results. A maximum, unlike a sum, needs no trace,
so working sets are stated here part by part, as the modules of `models` run. Element-wise operators count as fused into
their neighbours, attention as writing no logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np

from piip_explore.catalog import ConvNeXt, OwnBranch, ViT
from piip_explore.cost import part_sizes
from piip_explore.cost.terms import MapShape, Module, Sized, Term, layout, maps, merged_maps, pyramid_widths
from piip_explore.design import Branch, Interaction, Merge

FIXED = 16
"""Bytes per parameter: the weight, its gradient and AdamW's two moments, in fp32."""

KEPT = 4
"""Bytes per element that the forward pass keeps, in fp32."""


def training_gb(params: Any, kept: Any, batch: int) -> Any:
    """Return the GB (10^9 bytes) that training in fp32 with AdamW holds at its peak.

    Args:
        params: parameters as built; a number or an array.
        kept: elements that one image's forward pass keeps (`Traffic.kept`); a number or an array.
        batch: images per step on one device.
    """
    return (FIXED * params + KEPT * batch * kept) / 1e9


@dataclass(frozen=True)
class WorkingSet:
    """The measure of a term: `peak`, in elements."""

    peak: Any


def working_sets(interaction: Interaction | None, merge: Merge, branches: int) -> Iterator[Term]:
    """Yield the terms of a design with this many branches, whose largest counts; those of `cost.terms` are summed."""
    peaks: dict[Module, Callable[..., WorkingSet]] = {
        "branch": partial(_branch, merge),
        "interactions": partial(_interactions, interaction),
        "merge": partial(_joining, interaction, merge),
        "pyramid": partial(_pyramid, interaction, merge),
        "heads": _head,
    }
    for module, places in layout(interaction, merge, branches):
        yield Term(module, places, peaks[module])


def _most(*values: Any) -> Any:
    return reduce(np.maximum, values)


def _branch(merge: Merge, branch: Branch) -> WorkingSet:
    spec, grid = branch.spec, branch.grid
    if isinstance(spec, OwnBranch):
        return WorkingSet(part_sizes.own_peak(spec, grid))
    if isinstance(spec, ConvNeXt):
        return WorkingSet(_convnext(spec, grid))
    prefix = spec.prefix(spec.class_token or merge.kind == "separate-heads")
    patches = grid**2
    tokens = patches + prefix
    embedding = 3 * patches * spec.patch**2 + patches * spec.dim
    blocks = [_block(spec, grid, branch.block_window(block), prefix) for block in range(spec.depth)]
    return WorkingSet(int(_most(embedding, 2 * tokens * spec.dim * spec.embed_norm, *blocks)))


def _block(spec: ViT, grid: int, window: int | None, prefix: int) -> int:
    tokens, dim = grid**2 + prefix, spec.dim
    mlp = tokens * (dim + spec.hidden * (2 if spec.activation == "swiglu" else 1))
    biased = spec.heads if spec.position == "relative" else 0
    if window is None or window >= grid:
        return max(mlp, 4 * tokens * dim, 4 * tokens * dim + biased * tokens**2)
    windows, inside = (-(-grid // window)) ** 2, window**2
    seen = inside + prefix
    attention = 2 * windows * (inside + seen) * dim + biased * inside * seen
    of_prefix = 2 * (prefix + tokens) * dim * (prefix > 0)
    return max(mlp, 4 * windows * inside * dim, attention, of_prefix, 2 * tokens * dim)


def _convnext(spec: ConvNeXt, grid: int) -> int:
    found = [grid**2 * (3 * spec.patch**2 + spec.dims[0])]
    for stage, dim in enumerate(spec.dims):
        cells = (grid >> stage) ** 2
        found.append(5 * cells * dim)
        if stage > 0:
            before = (grid >> (stage - 1)) ** 2 * spec.dims[stage - 1]
            found += [2 * before, before + cells * dim]
    return max(found)


def _interactions(interaction: Interaction | None, source: Sized, query: Sized) -> WorkingSet:
    assert interaction is not None
    pairs = set(zip(maps(source.spec, interaction), maps(query.spec, interaction), strict=True))
    units = [_unit(interaction, s, q, s.tokens(source.grid), q.tokens(query.grid)) for s, q in pairs]
    return WorkingSet(_most(*units))


def _unit(interaction: Interaction, source: MapShape, query: MapShape, keys: Any, queries: Any) -> Any:
    """Return the largest working set of one direction, from a map of `keys` tokens into one of `queries`."""
    width, key_width = query.width, query.width if interaction.project else source.width
    value, hidden = interaction.value_width(width), int(width * interaction.ffn)
    norms = 2 * interaction.project
    found = [keys * (source.width + width) * interaction.project, norms * queries * width, norms * keys * width]
    if interaction.attention == "deformable":
        samples = interaction.heads * interaction.points
        found += [queries * (width + 2 * samples), keys * (key_width + value), queries * (value + width)]
        found.append(keys * value + queries * (3 * samples + value))
    else:
        found += [2 * queries * width, keys * (key_width + width), 2 * (queries + keys) * width]
    return _most(*found, queries * (width + hidden), 2 * queries * hidden)


def _joining(interaction: Interaction | None, merge: Merge, source: Sized, *target: Sized) -> WorkingSet:
    sources = merged_maps(source.spec, interaction, merge)
    targets = merged_maps(target[0].spec, interaction, merge) if target else sources
    found = []
    for own, merged in zip(sources, targets, strict=True):
        width, wanted = own.width, merged.width
        if merge.kind == "conv" or target:
            widths = max(width + wanted, 2 * wanted, 2 * width * (merge.kind == "linear"))
        else:
            widths = 2 * width
        found.append(own.tokens(source.grid) * widths)
    return WorkingSet(_most(*found))


def _pyramid(interaction: Interaction | None, merge: Merge, reference: Sized, target: Sized) -> WorkingSet:
    if not merge.has_pyramid(reference.spec):
        return WorkingSet(0)
    first, second = pyramid_widths(target.spec, interaction, merge)
    cells = maps(reference.spec, interaction)[-1].tokens(reference.grid)
    return WorkingSet(cells * max((4 + 16) * first, (1 + 4) * second))


def _head(branch: Branch) -> WorkingSet:
    width = branch.spec.out_dim
    return WorkingSet(max(2 * width, width + part_sizes.HEAD_CLASSES))
