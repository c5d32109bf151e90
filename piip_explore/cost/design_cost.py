"""The cost of one design."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from piip_explore.cost.counts import Counts
from piip_explore.cost.design_memory import training_gb, working_sets
from piip_explore.cost.terms import RULES, Rules, rules, steps, terms
from piip_explore.design import Branch, Design


@dataclass(frozen=True)
class Cost:
    """What a design costs for one image of its largest branch's resolution.

    `by_module` gives (multiply-accumulates, parameters) by module, in the order of the text form: the branches, every
    direction of interaction, `merge`, `pyramid` and `heads` where the design has them.
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

    @property
    def gflops(self) -> float:
        """10^9 multiply-accumulates."""
        return self.macs / 1e9

    @property
    def mparams(self) -> float:
        """Millions of parameters."""
        return self.params / 1e6

    def _repr_html_(self) -> str:
        """Return the modules as an HTML table, which notebooks show."""
        import pandas as pd

        rows = {**self.by_module, "total": (self.macs, self.params)}
        columns = [f"GFLOPs ({self.accounting})", "M params"]
        table = pd.DataFrame([(macs / 1e9, params / 1e6) for macs, params in rows.values()], list(rows), columns)
        return table.to_html(float_format="{:,.3f}".format)


def count(design: Design, accounting: str = "published", in_channels: int = 3) -> Cost:
    """Count a design: exact whole numbers, without building it.

    Args:
        design: the design.
        accounting: `published`, to compare with the papers, or `built`, the cost of the network that is trained.
        in_channels: channels of the image; every branch's first convolution has that many.

    Raises:
        InputError: there is no such accounting, or a branch of another package would have to take other than three
            channels.
    """
    counts = _count(design, rules(accounting))
    if in_channels != 3:
        for label, branch in zip(_labels(design)[0], design.branches, strict=True):
            branch.check_channels(in_channels)
            counts[label] += _per_channel(branch) * (in_channels - 3)
    return Cost(accounting, MappingProxyType({name: (c.macs, c.params) for name, c in counts.items()}))


@dataclass(frozen=True)
class Traffic:
    """What the network of a design, as it is built, writes and moves for one image, in elements of any dtype.

    `activations` are the outputs of all linear layers, convolutions and attentions, the convention of RegNet
    (arXiv 2003.13678) and fvcore; fused attention writes no logits. `moved` is what every counted operator reads, its
    weights included, and writes. `kept` is what automatic differentiation keeps for the backward pass, except resized
    images and values between the parts of a merge (up to 3 %; `training_gb` turns it into bytes). `peak` is the most
    that one counted operator reads and writes, without weights: the least that inference needs if element-wise
    operators are fused into their neighbours.
    """

    activations: int
    moved: int
    kept: int
    peak: int


def traffic(design: Design) -> Traffic:
    """Count what a design writes and moves, without building it."""
    total = sum(_count(design, RULES["built"]).values(), Counts())
    in_order = design.sorted()
    peaks = working_sets(design.interaction, in_order.merge, len(design.branches))
    peak = max(int(term.counts(*(in_order.branches[place] for place in term.places)).peak) for term in peaks)
    return Traffic(total.activations, total.moved, total.kept, peak)


def training_memory(design: Design, batch: int) -> float:
    """Return the GB that training a design in fp32 with AdamW takes with `batch` images per step (`training_gb`)."""
    total = sum(_count(design, RULES["built"]).values(), Counts())
    gigabytes: float = training_gb(total.params, total.kept, batch)
    return gigabytes


def difference(design: Design) -> list[tuple[str, int, int]]:
    """Return the steps from the published to the built cost: explanation, multiply-accumulates, parameters.

    Only steps that change this design; they add up to the difference.
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
    in_order = design.sorted()
    labels, names = _labels(design)
    counts = dict.fromkeys(labels, Counts())  # the branches in the order of the text
    for term in terms(rule, design.interaction, in_order.merge, len(labels)):
        indices = [design.order[place] for place in term.places]
        label = {
            "branch": labels[indices[0]],
            "interactions": f"interactions {' -> '.join(names[index] for index in indices)}",
        }.get(term.module, term.module)
        branches = [design.branches[index] for index in indices]
        counts[label] = counts.get(label, Counts()) + term.counts(*branches)
    return {label: value for label, value in counts.items() if value != Counts()}


def _per_channel(branch: Branch) -> Counts:
    """Return what one channel of the image adds to a branch's first convolution, whose patches do not overlap."""
    kernel = branch.spec.patch**2 * branch.spec.width(0)
    return Counts(conv=kernel * branch.grid**2, params=kernel)


def _labels(design: Design) -> tuple[list[str], list[str]]:
    """Return the branches' labels, and shorter names for the ends of interactions, all different."""
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
