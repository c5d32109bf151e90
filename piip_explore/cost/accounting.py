"""What counts: the two sets of rules, `published` and `built`, stated once.

Both count one multiply-accumulate as one FLOP, for one image, and agree on linear layers, convolutions, norms and ReLU
(`cost.trace`). `built` counts everything, as it runs. `published` follows the papers (arXiv 2406.04330 and 2501.07783),
whose counter took some things by formula, some from another module than the one trained, and left some out.
`docs/accounting.md` says how each rule was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from piip_explore.cost.counts import Counts
from piip_explore.design import MergeKind
from piip_explore.errors import InputError, expected


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


def block(rule: Rules, as_run: Counts, as_global: Counts, window: int | None, patches: int, dim: int) -> Counts:
    """Return the counts of a ViT block.

    Args:
        rule: the accounting's rules.
        as_run: the block as it runs.
        as_global: the same block without windows.
        window: side of its windows in patches, None where it is global.
        patches: patches of its map.
        dim: its width.
    """
    if rule.tokens:
        return as_run
    span = patches if window is None else window * window
    return replace(as_global, attention=2 * patches * span * dim, params=as_run.params)


def sampling(rule: Rules, as_run: Counts, merge: MergeKind, queries: Any, first: Any, points: int, dim: int) -> Counts:
    """Return the counts of one direction by deformable attention.

    Args:
        rule: the accounting's rules.
        as_run: the direction as it runs.
        merge: the design's merge.
        queries: tokens of the map that is informed, of width `dim`.
        first: tokens of the same branch's map at its first interaction.
        points: points sampled by a head.
        dim: width of the queries.
    """
    if rule.sampling:
        return as_run
    return replace(as_run, deformable=5 * points * dim * (first if merge == "none" else queries))


def counted_merge(rule: Rules, kind: MergeKind) -> MergeKind:
    """Return the kind of merge that is counted in place of a design's."""
    return "linear" if kind == "conv" and not rule.merge else kind
