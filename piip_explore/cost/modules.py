"""What every module of a design costs under a set of rules: branches, exchanges, merge, pyramid, heads. No torch.

Grids may be integers or NumPy integer arrays: one design and all designs of a space are counted by the same lines.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from piip_explore import catalog
from piip_explore.cost import accounting, parts
from piip_explore.cost.accounting import Rules
from piip_explore.cost.counts import Counts
from piip_explore.design import Branch, Interaction, Merge


class Place(NamedTuple):
    """A place between blocks: the map's channels, and how often it is smaller than the map behind the embedding."""

    width: int
    shrink: int


@dataclass(frozen=True)
class Maps:
    """The maps of a branch: its model, and the side of its map behind the embedding, in cells."""

    spec: catalog.Model
    grid: Any

    def places(self, interaction: Interaction | None) -> list[Place]:
        """Return the places of all exchanges, the last one behind the last block."""
        ends = catalog.positions(self.spec, interaction.count if interaction else 1)
        return [Place(self.spec.width(end), self.spec.stride(end) // self.spec.patch) for end in ends]

    def tokens(self, place: Place) -> Any:
        """Return the tokens at a place; a map of odd size loses its last row and column in down-sampling."""
        return (self.grid // place.shrink) ** 2


def branch(rules: Rules, branch: Branch, merge: Merge) -> Counts:
    """Return the counts of one branch: embedding and blocks."""
    spec, grid = branch.spec, branch.grid
    if isinstance(spec, catalog.ConvNeXt):
        return parts.convnext(spec, grid)
    vit = parts.vision_transformer(spec, grid, branch.window, spec.class_token or merge.kind == "separate-heads")
    total = vit.outside
    for window, times in Counter(branch.block_window(block) for block in range(spec.depth)).items():
        as_run = vit.global_block if window is None or vit.windowed_block is None else vit.windowed_block
        total += accounting.block(rules, as_run, vit.global_block, window, grid * grid, spec.dim) * times
    return total


def exchanges(rules: Rules, source: Maps, query: Maps, interaction: Interaction, merge: Merge) -> Counts:
    """Return the counts of all exchanges in one direction: the maps of `source` flow into those of `query`."""
    total = Counts()
    queries = query.places(interaction)
    for (s, q), times in Counter(zip(source.places(interaction), queries, strict=True)).items():
        counts = parts.direction(s.width, q.width, interaction).at(query.tokens(q), source.tokens(s))
        if interaction.attention == "deformable":
            now, first = query.tokens(q), query.tokens(queries[0])
            counts = accounting.sampling(rules, counts, merge.kind, now, first, interaction.points, q.width)
        total += counts * times
    return total


def joining(
    rules: Rules, source: Maps, target: Maps, is_target: bool, interaction: Interaction | None, merge: Merge
) -> Counts:
    """Return the counts of what the maps of one branch pass to join the merged maps, which are as wide as `target`'s.

    `is_target`: the branch is itself the one of the lowest resolution.
    """
    total, kind = Counts(), accounting.counted_merge(rules, merge.kind)
    if kind in ("none", "separate-heads"):
        return total
    places, targets = source.places(interaction), target.places(interaction)
    for k in (*merge.levels(interaction), -1):
        adapter = parts.adapter(kind, places[k].width, targets[k].width, is_target)
        total += adapter.at(source.tokens(places[k]))
    return total


def pyramid(rules: Rules, reference: Maps, target: Maps, interaction: Interaction | None, merge: Merge) -> Counts:
    """Return the counts of the feature pyramid on maps of the size of the highest-resolution branch, `reference`."""
    of_cnn = merge.kind == "conv-multilevel" and isinstance(reference.spec, catalog.ConvNeXt)
    if not rules.pyramid or of_cnn or merge.kind not in ("conv", "conv-multilevel"):
        return Counts()
    targets = target.places(interaction)
    levels = merge.levels(interaction) or (-1, -1)
    widths = [targets[k].width for k in levels[:2]]
    return parts.pyramid(widths).at(reference.tokens(reference.places(interaction)[-1]))


def head(rules: Rules, spec: catalog.Model, is_target: bool, merge: Merge) -> Counts:
    """Return the counts of one branch's head; `is_target`: it is the branch of the lowest resolution."""
    if merge.kind == "separate-heads":
        return parts.head(spec.out_dim)
    if is_target and not rules.head:
        return Counts(params=parts.head(spec.out_dim).params)
    return Counts()
