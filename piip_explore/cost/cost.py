"""The cost of one design."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from piip_explore.cost import modules
from piip_explore.cost.accounting import Rules, rules, steps
from piip_explore.cost.counts import Counts
from piip_explore.cost.modules import Maps
from piip_explore.design import Design


@dataclass(frozen=True)
class Cost:
    """What a design costs for one image of its largest branch's resolution.

    `by_module` gives (multiply-accumulates, parameters) by module, in the order of the text form: the branches, every
    direction of exchange, `merge`, `pyramid` and `heads` where the design has them.
    """

    accounting: str
    by_module: Mapping[str, tuple[int, int]]

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates, which the papers call FLOPs."""
        return sum(macs for macs, _ in self.by_module.values())

    @cached_property
    def params(self) -> int:
        """Parameters."""
        return sum(params for _, params in self.by_module.values())


def count(design: Design, accounting: str = "published") -> Cost:
    """Count a design: exact whole numbers, without building it.

    Args:
        design: the design.
        accounting: `published`, what compares with the papers, or `built`, what the network that is trained costs.

    Raises:
        InputError: there is no such accounting.
    """
    counts = _count(design, rules(accounting))
    return Cost(accounting, MappingProxyType({name: (c.macs, c.params) for name, c in counts.items()}))


def difference(design: Design) -> list[tuple[str, int, int]]:
    """Return what leads from the published to the built cost: explanation, multiply-accumulates, parameters.

    Only what changes this design; the changes add up to the difference.
    """
    found, before = [], sum(_count(design, rules("published")).values(), Counts())
    for explanation, between in steps():
        after = sum(_count(design, between).values(), Counts())
        change = after - before
        if change.macs or change.params:
            found.append((explanation, change.macs, change.params))
        before = after
    return found


def _count(design: Design, rule: Rules) -> dict[str, Counts]:
    interaction, merge = design.interaction, design.merge
    maps = [Maps(branch.spec, branch.grid) for branch in design.branches]
    reference, target = design.order[0], design.order[-1]
    labels, names = _labels(design)
    counts = {label: modules.branch(rule, branch, merge) for label, branch in zip(labels, design.branches, strict=True)}
    if interaction is not None:
        for source, query in design.directed_pairs:
            label = f"interactions {names[source]} -> {names[query]}"
            counts[label] = modules.exchanges(rule, maps[source], maps[query], interaction, merge)
    joining = [modules.joining(rule, maps[i], maps[target], i == target, interaction, merge) for i in design.out]
    counts["merge"] = sum(joining, Counts())
    counts["pyramid"] = modules.pyramid(rule, maps[reference], maps[target], interaction, merge)
    counts["heads"] = _heads(design, rule, target)
    return {name: value for name, value in counts.items() if value != Counts()}


def _heads(design: Design, rule: Rules, target: int) -> Counts:
    separate = design.merge.kind == "separate-heads"
    having = design.out if separate else (target,)
    heads = (modules.head(rule, design.branches[i].spec, i == target, design.merge) for i in having)
    return sum(heads, Counts())


def _labels(design: Design) -> tuple[list[str], list[str]]:
    """Return the branches' labels, and shorter names for the ends of exchanges, all different."""
    texts = _different([str(branch) for branch in design.branches])
    models = [branch.model for branch in design.branches]
    return texts, models if len(set(models)) == len(models) else texts


def _different(texts: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    numbered = []
    for text in texts:
        seen[text] += 1
        numbered.append(text if texts.count(text) == 1 else f"{text} #{seen[text]}")
    return numbered
