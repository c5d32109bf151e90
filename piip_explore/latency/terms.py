"""The terms whose sum is a design's time: those of `cost.terms`, in seconds. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from piip_explore.catalog import ConvNeXt, OwnBranch
from piip_explore.cost.maps import Sized, maps
from piip_explore.cost.terms import Module, Term
from piip_explore.design import Branch, Interaction, Merge
from piip_explore.latency.kinds import Adapter, Block, Gather, Kind, Own, Pyramid, StageBlock, Stem, Unit, short


class Times(Protocol):
    """Says how long parts take."""

    def seconds(self, kind: Kind, *sides: Any) -> Any:
        """Return the seconds of a part; sides may be integer arrays, which are broadcast."""


@dataclass(frozen=True)
class Seconds:
    """What a term counts here."""

    seconds: Any


def terms(
    times: Times, factors: Mapping[str, float], interaction: Interaction | None, merge: Merge, branches: int
) -> Iterator[Term]:
    """Yield the terms of a design with this many branches, each times the factor of its module (1 if it has none)."""
    for module, places, seconds in _terms(times, interaction, merge, branches):
        yield Term(module, places, partial(_scaled, factors.get(module, 1.0), seconds))


def _scaled(factor: float, seconds: Any, *branches: Sized) -> Seconds:
    return Seconds(factor * seconds(*branches))


def _terms(
    times: Times, interaction: Interaction | None, merge: Merge, branches: int
) -> Iterator[tuple[Module, tuple[int, ...], Any]]:
    target = branches - 1
    out = range(branches) if merge.out is None else [number - 1 for number in merge.out]
    for place in range(branches):
        yield "branch", (place,), partial(_branch, times, merge)
    if interaction is not None:
        for pair in interaction.pairs(branches):
            yield "interactions", pair, partial(_interactions, times, interaction)
    if merge.kind in ("none", "separate-heads") or branches == 1:
        return
    for place in out:
        joining = partial(_joining, times, interaction, merge)
        yield "merge", (place,) if place == target else (place, target), joining
        yield "merge", (0, target), partial(_gathering, times, interaction, merge)
    if merge.kind in ("conv", "conv-multilevel"):
        yield "pyramid", (0, target), partial(_pyramid, times, interaction, merge)


def _branch(times: Times, merge: Merge, branch: Branch) -> Any:
    spec, grid = branch.spec, branch.grid
    if isinstance(spec, OwnBranch):
        return times.seconds(Own(spec), grid)
    model = short(spec)
    if isinstance(spec, ConvNeXt):
        assert isinstance(model, ConvNeXt)
        blocks = (depth * times.seconds(StageBlock(model, stage), grid) for stage, depth in enumerate(spec.depths))
        return times.seconds(Stem(model, False), grid) + sum(blocks)
    assert not isinstance(model, ConvNeXt)
    class_token = spec.class_token or merge.kind == "separate-heads"
    windows = Counter(branch.block_window(block) for block in range(spec.depth))
    blocks = (number * times.seconds(Block(model, window, class_token), grid) for window, number in windows.items())
    return times.seconds(Stem(model, class_token), grid) + sum(blocks)


def _side(shrink: int, grid: Any) -> Any:
    return grid // shrink


def _interactions(times: Times, interaction: Interaction, source: Sized, query: Sized) -> Any:
    pairs = Counter(zip(maps(source.spec, interaction), maps(query.spec, interaction), strict=True))
    options = unit_options(interaction)
    return sum(
        number
        * times.seconds(Unit(s.width, q.width, options), _side(q.shrink, query.grid), _side(s.shrink, source.grid))
        for (s, q), number in pairs.items()
    )


def unit_options(interaction: Interaction) -> Interaction:
    """Return an interaction with the options that one direction depends on: neither number nor direction."""
    return replace(interaction, count=1, direction="both")


def _joining(times: Times, interaction: Interaction | None, merge: Merge, source: Sized, *target: Sized) -> Any:
    sources = maps(source.spec, interaction)
    targets = maps(target[0].spec, interaction) if target else sources
    return sum(
        times.seconds(
            Adapter(merge.kind, sources[k].width, targets[k].width, not target), _side(sources[k].shrink, source.grid)
        )
        for k in (*merge.levels(interaction), -1)
    )


def _gathering(times: Times, interaction: Interaction | None, merge: Merge, reference: Sized, target: Sized) -> Any:
    references, targets = maps(reference.spec, interaction), maps(target.spec, interaction)
    return sum(
        times.seconds(Gather(targets[k].width), _side(references[k].shrink, reference.grid))
        for k in (*merge.levels(interaction), -1)
    )


def _pyramid(times: Times, interaction: Interaction | None, merge: Merge, reference: Sized, target: Sized) -> Any:
    if not merge.has_pyramid(reference.spec):
        return 0.0
    targets = maps(target.spec, interaction)
    first, second = (targets[k].width for k in (merge.levels(interaction) or (-1, -1))[:2])
    last = maps(reference.spec, interaction)[-1]
    return times.seconds(Pyramid((first, second)), _side(last.shrink, reference.grid))
