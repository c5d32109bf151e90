"""The terms whose sum is a design's time: those of `cost.terms`, in seconds. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from piip_explore.catalog import ConvNeXt, OwnBranch
from piip_explore.cost import part_sizes
from piip_explore.cost.parts import Adapter
from piip_explore.cost.terms import Module, Sized, Term, layout, maps, merged_maps, pyramid_widths
from piip_explore.design import Branch, Interaction, Merge
from piip_explore.latency.kinds import FeaturePyramid, Gather, Kind, Own, StageBlock, Stem, Unit, ViTBlock


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
    seconds: dict[Module, Callable[..., Any]] = {
        "branch": partial(_branch, times, merge),
        "interactions": partial(_interactions, times, interaction),
        "merge": partial(_joining, times, interaction, merge),
        "pyramid": partial(_pyramid, times, interaction, merge),
    }
    for module, places in layout(interaction, merge, branches):
        factor = factors.get(module, 1.0)
        if module in seconds:
            yield Term(module, places, partial(_scaled, factor, seconds[module]))
        if module == "merge":
            gathering = partial(_gathering, times, interaction, merge)
            yield Term(module, (0, branches - 1), partial(_scaled, factor, gathering))


def _scaled(factor: float, seconds: Any, *branches: Sized) -> Seconds:
    return Seconds(factor * seconds(*branches))


def _branch(times: Times, merge: Merge, branch: Branch) -> Any:
    spec, grid = branch.spec, branch.grid
    if isinstance(spec, OwnBranch):
        return times.seconds(Own(spec), grid)
    if isinstance(spec, ConvNeXt):
        cnn = replace(spec, depths=(1,) * len(spec.depths))
        blocks = (depth * times.seconds(StageBlock(cnn, stage), grid) for stage, depth in enumerate(spec.depths))
        return times.seconds(Stem(cnn, False), grid) + sum(blocks)
    vit = replace(spec, depth=1)
    class_token = spec.class_token or merge.kind == "separate-heads"
    windows = Counter(branch.block_window(block) for block in range(spec.depth))
    blocks = (number * times.seconds(ViTBlock(vit, window, class_token), grid) for window, number in windows.items())
    return times.seconds(Stem(vit, class_token), grid) + sum(blocks)


def _interactions(times: Times, interaction: Interaction | None, source: Sized, query: Sized) -> Any:
    assert interaction is not None
    pairs = Counter(zip(maps(source.spec, interaction), maps(query.spec, interaction), strict=True))
    options = part_sizes.unit_options(interaction)
    return sum(
        number * times.seconds(Unit(s.width, q.width, options), q.side(query.grid), s.side(source.grid))
        for (s, q), number in pairs.items()
    )


def _joining(times: Times, interaction: Interaction | None, merge: Merge, source: Sized, *target: Sized) -> Any:
    sources = merged_maps(source.spec, interaction, merge)
    targets = merged_maps(target[0].spec, interaction, merge) if target else sources
    return sum(
        times.seconds(Adapter(merge.kind, own.width, merged.width, not target), own.side(source.grid))
        for own, merged in zip(sources, targets, strict=True)
    )


def _gathering(times: Times, interaction: Interaction | None, merge: Merge, reference: Sized, target: Sized) -> Any:
    references, targets = (merged_maps(one.spec, interaction, merge) for one in (reference, target))
    return sum(
        times.seconds(Gather(merged.width), largest.side(reference.grid))
        for largest, merged in zip(references, targets, strict=True)
    )


def _pyramid(times: Times, interaction: Interaction | None, merge: Merge, reference: Sized, target: Sized) -> Any:
    if not merge.has_pyramid(reference.spec):
        return 0.0
    last = maps(reference.spec, interaction)[-1]
    return times.seconds(FeaturePyramid(pyramid_widths(target.spec, interaction, merge)), last.side(reference.grid))
