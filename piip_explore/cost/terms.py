"""The terms whose sum is a design's cost: stated once, for one design and for all designs of a space.

A term is what one branch, or two branches with each other, add to one module. Branches are named by their places: 0 is
the highest resolution, the last the lowest. No torch.

What counts of a term is stated by one of two sets of rules. Both count one multiply-accumulate as one FLOP, for one
image, and agree on linear layers, convolutions, norms and ReLU (`cost.trace`). `built` counts everything, as it runs.
`published` follows the papers (arXiv 2406.04330 and 2501.07783), whose counter took some things by formula, some from
another module than the one trained, and left some out. `docs/accounting.md` says how each rule was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

from piip_explore import catalog
from piip_explore.cost import part_sizes
from piip_explore.cost.counts import Counts
from piip_explore.design import Branch, Interaction, Merge
from piip_explore.errors import InputError, expected

Module = Literal["branch", "interactions", "merge", "pyramid", "heads"]


@dataclass(frozen=True)
class Rules:
    """Where the two accountings differ: True counts what runs, False what was published."""

    tokens: bool
    """Windowed blocks run on padded windows, and class tokens are attended to. Published: attention is
    2 x N x w^2 x dim (2 x N^2 x dim where global) with N patches, and linear layers and norms see no padding."""

    sampling: bool
    """Deformable attention samples values of their own width. Published: 5 x N_query x points x dim_query; and where
    nothing is merged (PIIP-LLaVA), N_query is that of the branch's first interaction for all of them."""

    merge: bool
    """`conv` is the two 3x3 convolutions per branch that the detection code trains. Published: the linear merge in
    their place."""

    pyramid: bool
    """The simple pyramid's up-convolutions are counted. Published: not counted."""

    head: bool
    """Only the design's own classifier counts. Published: the parameters (not the FLOPs) of a LayerNorm and 1000-way
    linear head at the merged width are counted for every design."""


RULES: Mapping[str, Rules] = {
    "published": Rules(tokens=False, sampling=False, merge=False, pyramid=False, head=False),
    "built": Rules(tokens=True, sampling=True, merge=True, pyramid=True, head=True),
}

EXPLANATIONS: Mapping[str, str] = {
    "tokens": "windows padded to whole ones, class tokens in attention",
    "sampling": "deformable attention at its values' width",
    "merge": "two 3x3 convolutions per branch instead of the linear merge",
    "pyramid": "up-convolutions of the feature pyramid",
    "head": "no 1000-way head in the parameters",
}
"""What changes from `published` to `built`, rule by rule."""


def rules(accounting: str) -> Rules:
    """Return the rules of an accounting.

    Raises:
        InputError: there is no such accounting.
    """
    if accounting not in RULES:
        raise InputError(f"accounting '{accounting}': {expected(accounting, RULES)}")
    return RULES[accounting]


def steps() -> list[tuple[str, Rules]]:
    """Return the rule sets on the way from `published` to `built`, one rule changed at a time, with its explanation."""
    found, current = [], RULES["published"]
    for field in fields(Rules):
        current = replace(current, **{field.name: getattr(RULES["built"], field.name)})
        found.append((EXPLANATIONS[field.name], current))
    return found


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
    joined = "linear" if merge.kind == "conv" and not rules.merge else merge.kind
    counts: dict[Module, Callable[..., Counts]] = {
        "branch": partial(_branch, rules, merge),
        "interactions": partial(_interactions, rules, interaction, merge),
        "merge": partial(_joining, joined, interaction, merge),
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


class Sized(Protocol):
    """A model at a size: a `Branch`, or a model with the grids of many branches at once.

    `grid` is the side of the map after the embedding, in cells: an integer or a NumPy integer array.
    """

    @property
    def spec(self) -> catalog.Model:
        """The model."""

    @property
    def grid(self) -> Any:
        """Side of the map after the embedding."""


class Grids(NamedTuple):
    """One model at many sizes."""

    spec: catalog.Model
    grid: Any


class MapShape(NamedTuple):
    """A map's channels, and the factor by which its side is smaller than after the embedding."""

    width: int
    shrink: int

    def side(self, grid: Any) -> Any:
        """Return the side of the map; one of odd size loses its last row and column in down-sampling."""
        return grid // self.shrink

    def tokens(self, grid: Any) -> Any:
        """Return the tokens of the map."""
        return self.side(grid) ** 2


def maps(spec: catalog.Model, interaction: Interaction | None) -> list[MapShape]:
    """Return a model's maps at all interactions, the last one after the last block."""
    ends = catalog.positions(spec, interaction.count if interaction else 1)
    return [MapShape(spec.width(end), spec.stride(end) // spec.patch) for end in ends]


def merged_maps(spec: catalog.Model, interaction: Interaction | None, merge: Merge) -> list[MapShape]:
    """Return a model's maps at all merges, the last one after the last block."""
    found = maps(spec, interaction)
    return [found[k] for k in (*merge.levels(interaction), -1)]


def pyramid_widths(spec: catalog.Model, interaction: Interaction | None, merge: Merge) -> tuple[int, int]:
    """Return the widths of the feature pyramid's two levels that are up-sampled, from merged maps as wide as `spec`'s.

    They are those of the first two merges, or both of the only one.
    """
    merged = merged_maps(spec, interaction, merge)
    return merged[0].width, merged[1 if len(merged) > 1 else 0].width


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
        counts = as_run if rules.tokens else _published_block(as_run, vit.global_block, window, grid, spec.dim)
        total += counts * times
    return total


def _published_block(as_run: Counts, as_global: Counts, window: int | None, grid: int, dim: int) -> Counts:
    """Return the published counts of a ViT block: no padding of windows, and only patches in attention."""
    patches = grid * grid
    span = patches if window is None else window * window
    return replace(as_global, attention=2 * patches * span * dim, params=as_run.params)


def _interactions(rules: Rules, interaction: Interaction | None, merge: Merge, source: Sized, query: Sized) -> Counts:
    """Return the counts of all interactions in one direction: the maps of `source` flow into those of `query`."""
    assert interaction is not None
    total = Counts()
    sources, queries = maps(source.spec, interaction), maps(query.spec, interaction)
    for (s, q), times in Counter(zip(sources, queries, strict=True)).items():
        unit = part_sizes.interaction_unit(s.width, q.width, interaction)
        counts = unit.at(q.tokens(query.grid), s.tokens(source.grid))
        if interaction.attention == "deformable" and not rules.sampling:
            informed = queries[0] if merge.kind == "none" else q
            counts = replace(counts, deformable=5 * interaction.points * q.width * informed.tokens(query.grid))
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
