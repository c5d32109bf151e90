"""What the authors' classes cannot express, as rules with the smallest change that mends a design."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from piip_explore import catalog
from piip_explore.design import Branch, Design, Interaction, MergeKind
from piip_explore.errors import InputError
from piip_explore.export.exporter import Misfit, Rule


def at_most(count: int) -> Rule:
    """Return the rule that a design has at most `count` branches; the one that computes least goes first."""

    def rule(design: Design) -> Misfit | None:
        if len(design.branches) <= count:
            return None
        work = [b.spec.weights * b.grid**2 for b in design.branches]
        kept = sorted(sorted(range(len(work)), key=lambda i: -work[i])[:count])
        mended = replace(_merging(design, out=None), branches=tuple(design.branches[i] for i in kept))
        return Misfit(f"it has {len(design.branches)} branches, the target takes at most {count}", mended)

    return rule


def known_models(accepted: Callable[[Branch], bool], names: Collection[str], what: str) -> Rule:
    """Return the rule that every branch's model is `accepted`; `names` are the models to put in a refused one's place.

    `what` says in words which models the target has.
    """

    def theirs(branch: Branch) -> bool:
        return accepted(branch) and not isinstance(branch.spec, catalog.OwnBranch)

    def rule(design: Design) -> Misfit | None:
        refused = [branch for branch in design.branches if not theirs(branch)]
        if not refused:
            return None
        branches = tuple(b if theirs(b) else nearest_branch(b, names) for b in design.branches)
        shown = " and ".join(f"'{branch}'" for branch in refused)
        reason = f"it has no class for {shown} ({what}), which --target native takes"
        return Misfit(reason, replace(design, branches=branches))

    return rule


def nearest_branch(branch: Branch, names: Collection[str]) -> Branch:
    """Return the branch with the accepted model nearest in kind, then in weights, at about the same resolution."""

    def distance(name: str) -> tuple[bool, float]:
        spec = catalog.model(name)
        return type(spec) is not type(branch.spec), abs(math.log(spec.weights / branch.spec.weights))

    name = min(names, key=distance)
    patch = catalog.model(name).patch
    if not isinstance(catalog.model(name), catalog.ViT):
        return Branch(name, max(8, round(branch.resolution / patch)) * patch)
    return Branch(name, max(1, round(branch.resolution / patch)) * patch, branch.window, branch.global_every)


def interactions(design: Design) -> Misfit | None:
    """Several branches interact at least once, both ways between neighbours."""
    if len(design.branches) == 1:
        return None
    if design.interaction is None:
        return Misfit("its branches never interact", _both_ways(design, Interaction(count=1)))
    if design.interaction.direction != "both":
        words = {"up": "only from low resolution to high", "down": "only from high resolution to low"}
        how = words.get(design.interaction.direction, "between all pairs of branches")
        mended = _both_ways(design, design.interaction)
        return Misfit(f"its branches interact {how} (direction={design.interaction.direction})", mended)
    return None


def _both_ways(design: Design, interaction: Interaction) -> Design:
    """Return the design with interactions both ways, with as many heads as divide every branch's attention widths."""
    widths = [
        interaction.value_width(branch.spec.width(block))
        for branch in design.branches
        for block in catalog.positions(branch.spec, interaction.count)
    ]
    heads = math.gcd(interaction.heads, *widths)
    return replace(design, interaction=replace(interaction, heads=heads, direction="both"))


def merged_by(*kinds: MergeKind) -> Rule:
    """Return the rule that several branches are merged in one of the ways given, the first being the nearest."""

    def rule(design: Design) -> Misfit | None:
        if len(design.branches) == 1 or design.merge.kind in kinds:
            return None
        expected = " or ".join(f"merge={kind}" for kind in kinds)
        return Misfit(f"it lacks merge={design.merge.kind} (it has {expected})", _merging(design, kind=kinds[0]))

    return rule


def multilevel_of_three(design: Design) -> Misfit | None:
    """Merging after interactions is an argument of the three-branch class only."""
    if design.merge.kind == "conv-multilevel" and len(design.branches) != 3:
        return Misfit("it has merge=conv-multilevel for three branches only", _merging(design, kind="conv"))
    return None


def all_merged(design: Design) -> Misfit | None:
    """All branches feed the merged map."""
    if design.merge.out is None:
        return None
    numbers = ",".join(map(str, design.merge.out))
    return Misfit(f"all branches feed its merge (not out={numbers})", _merging(design, out=None))


def weighted_as_published(design: Design) -> Misfit | None:
    """Merged maps have one learned scalar each, and separate heads equal shares."""
    if design.merge.weighting == "published":
        return None
    return Misfit(f"its merge has no weighting={design.merge.weighting}", _merging(design, weighting="published"))


def _merging(design: Design, **changes: Any) -> Design:
    return replace(design, merge=replace(design.merge, **changes))


def widths_fall(design: Design) -> Misfit | None:
    """No branch is wider than one of lower resolution, which the authors' classes assert."""
    order = design.order
    widths = [design.branches[i].spec.out_dim for i in order]
    if widths == sorted(widths):
        return None
    models = sorted((design.branches[i] for i in order), key=lambda branch: branch.spec.out_dim)
    branches = list(design.branches)
    for place, other in zip(order, models, strict=True):
        branches[place] = replace(branches[place], model=other.model)
    reason = "its branches are the wider the lower their resolution"
    return Misfit(reason, replace(design, branches=tuple(branches)))


def widths_of_32(all_branches: bool) -> Rule:
    """Return the rule that merged widths divide into the 32 groups of the authors' GroupNorm.

    `all_branches`: every branch's width is normalised, not only that of the lowest-resolution branch.
    """

    def rule(design: Design) -> Misfit | None:
        if len(design.branches) == 1 or design.merge.kind in ("none", "separate-heads"):
            return None
        merged = design.order if all_branches else design.order[-1:]
        refused = [i for i in merged if design.branches[i].spec.out_dim % 32]
        if not refused:
            return None
        branches = list(design.branches)
        for index in refused:
            branches[index] = _widened(design, branches[index])
        shown = " and ".join(f"'{design.branches[i]}'" for i in refused)
        return Misfit(
            f"its merge normalises in 32 groups, which {shown} cannot", replace(design, branches=tuple(branches))
        )

    return rule


def _widened(design: Design, branch: Branch) -> Branch:
    """Return the branch with the next larger width that 32 groups and the attention's heads divide."""
    spec = branch.spec
    assert isinstance(spec, catalog.ViT)
    step = math.lcm(32, spec.heads)
    for dim in range(math.ceil(spec.dim / step) * step, 10**6, step):
        wider = replace(branch, model=f"vit[depth={spec.depth},dim={dim},heads={spec.heads}]")
        try:
            if design.interaction is not None:
                design.interaction.check(wider, query=True)
        except InputError:
            continue
        return wider
    raise AssertionError("some multiple of the heads divides into heads")


def no_windows(design: Design) -> Misfit | None:
    """Attention is global in every block."""
    windowed = [branch for branch in design.branches if branch.window]
    if not windowed:
        return None
    branches = tuple(replace(branch, window=None, global_every=None) for branch in design.branches)
    return Misfit(f"it has no window attention ('{windowed[0]}')", replace(design, branches=branches))
