"""The terms whose sum is a design's cost: stated once, for one design and for all designs of a space.

A term is what one branch, or two branches with each other, add to one module. Branches are named by their places: 0 is
the highest resolution, the last the lowest. No torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from piip_explore import catalog
from piip_explore.cost import accounting, part_sizes
from piip_explore.cost.accounting import Rules
from piip_explore.cost.counts import Counts
from piip_explore.cost.maps import Sized, maps, merged_maps, pyramid_widths
from piip_explore.design import Branch, Interaction, Merge

Module = Literal["branch", "interactions", "merge", "pyramid", "heads"]


@dataclass(frozen=True)
class Term:
    """What the branches at one or two `places` add to a module.

    `counts` takes the branches in the order of `places` and returns `Counts`, or another value with measures as
    attributes. Of two branches one or both may be `Grids`, whose counts are arrays.
    """

    module: Module
    places: tuple[int, ...]
    counts: Callable[..., Any]


def terms(rules: Rules, interaction: Interaction | None, merge: Merge, branches: int) -> Iterator[Term]:
    """Yield the terms of a design with this many branches, which the merge numbers from the highest resolution."""
    counts: dict[Module, Callable[..., Counts]] = {
        "branch": partial(_branch, rules, merge),
        "interactions": partial(_interactions, rules, interaction, merge),
        "merge": partial(_joining, accounting.counted_merge(rules, merge.kind), interaction, merge),
        "pyramid": partial(_pyramid, interaction, merge),
        "heads": partial(_head, rules, merge),
    }
    for module, places in layout(interaction, merge, branches):
        if module != "pyramid" or rules.pyramid:
            yield Term(module, places, counts[module])
    if merge.kind != "separate-heads":
        yield Term("heads", (branches - 1,), counts["heads"])


def layout(interaction: Interaction | None, merge: Merge, branches: int) -> Iterator[tuple[Module, tuple[int, ...]]]:
    """Yield the modules of a design with this many branches, each with the places of the branches that it depends on.

    What joins a merge depends on the branch that joins and on the last one, whose width the merged maps have.
    """
    target = branches - 1
    out = range(branches) if merge.out is None else [number - 1 for number in merge.out]
    for place in range(branches):
        yield "branch", (place,)
    for pair in interaction.pairs(branches) if interaction else ():
        yield "interactions", pair
    if merge.kind == "separate-heads":
        for place in out:
            yield "heads", (place,)
    elif merge.kind != "none":
        for place in out:
            yield "merge", (place,) if place == target else (place, target)
    if merge.kind in ("conv", "conv-multilevel"):
        yield "pyramid", (0, target)


def _branch(rules: Rules, merge: Merge, branch: Branch) -> Counts:
    """Return the counts of one branch: embedding and blocks."""
    spec, grid = branch.spec, branch.grid
    if isinstance(spec, catalog.ConvNeXt):
        return part_sizes.convnext(spec, grid)
    class_token = spec.class_token or merge.kind == "separate-heads"
    vit = part_sizes.vision_transformer(spec, grid, branch.window, class_token)
    total = vit.outside
    for window, times in Counter(branch.block_window(block) for block in range(spec.depth)).items():
        as_run = vit.global_block if window is None or vit.windowed_block is None else vit.windowed_block
        total += accounting.block(rules, as_run, vit.global_block, window, grid * grid, spec.dim) * times
    return total


def _interactions(rules: Rules, interaction: Interaction | None, merge: Merge, source: Sized, query: Sized) -> Counts:
    """Return the counts of all interactions in one direction: the maps of `source` flow into those of `query`."""
    assert interaction is not None
    total = Counts()
    sources, queries = maps(source.spec, interaction), maps(query.spec, interaction)
    for (s, q), times in Counter(zip(sources, queries, strict=True)).items():
        unit = part_sizes.interaction_unit(s.width, q.width, interaction)
        counts = unit.at(q.tokens(query.grid), s.tokens(source.grid))
        if interaction.attention == "deformable":
            now, first = q.tokens(query.grid), queries[0].tokens(query.grid)
            counts = accounting.sampling(rules, counts, merge.kind, now, first, interaction.points, q.width)
        total += counts * times
    return total


def _joining(kind: str, interaction: Interaction | None, merge: Merge, source: Sized, *target: Sized) -> Counts:
    """Return the counts of what the maps of one branch pass to join the merged maps, which are as wide as `target`'s.

    Without a target the branch is itself the one of the lowest resolution.
    """
    total = Counts()
    sources = merged_maps(source.spec, interaction, merge)
    targets = merged_maps(target[0].spec, interaction, merge) if target else sources
    for own, merged in zip(sources, targets, strict=True):
        adapter = part_sizes.adapter(kind, own.width, merged.width, not target)
        total += adapter.at(own.tokens(source.grid))
        total += Counts(params=merged.width if merge.weighting == "channel" else 1)
    return total


def _pyramid(interaction: Interaction | None, merge: Merge, reference: Sized, target: Sized) -> Counts:
    """Return the counts of the feature pyramid on maps of the size of the highest-resolution branch, `reference`."""
    if not merge.has_pyramid(reference.spec):
        return Counts()
    up_sampled = part_sizes.pyramid(pyramid_widths(target.spec, interaction, merge))
    return up_sampled.at(maps(reference.spec, interaction)[-1].tokens(reference.grid))


def _head(rules: Rules, merge: Merge, branch: Branch) -> Counts:
    """Return the counts of one branch's head, and of the one that `published` adds to every design's parameters."""
    if merge.kind == "separate-heads":
        weights = {"published": 0, "scalar": 1, "channel": part_sizes.HEAD_CLASSES}[merge.weighting]
        return part_sizes.head(branch.spec.out_dim) + Counts(params=weights)
    return Counts() if rules.head else Counts(params=part_sizes.head(branch.spec.out_dim).params)
