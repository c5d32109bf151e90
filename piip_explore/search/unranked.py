"""What the proxy cannot rank, as docs/proxy.md measures, and the neighbours on a front that differ in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from piip_explore.design import Design


def question(first: Design, second: Design) -> str | None:
    """Return in what two designs differ if the proxy cannot rank that, else None.

    It cannot rank the number, kind or direction of interactions, nor one branch against a pyramid.
    """
    if (len(first.branches) == 1) != (len(second.branches) == 1):
        return "one branch or several"
    same = sorted(map(str, first.branches)) == sorted(map(str, second.branches)) and first.merge == second.merge
    return "interactions" if same and first.interaction != second.interaction else None


def advice(trials: Sequence[int], designs: Sequence[Design], told: Sequence[bool]) -> str:
    """Return one line on the neighbours of a front whose order is open, empty if there are none.

    `trials` and `designs` are those of the front, in its order; `told` says of which of them a metric is expected. If
    it is of both neighbours, that is what to go by.
    """
    front = zip(trials, designs, told, strict=True)
    names = [
        f"{one} and {other} ({asked})"
        for (one, first, mine), (other, second, theirs) in pairwise(front)
        if not (mine and theirs) and (asked := question(first, second)) is not None
    ]
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"Not for the proxy to rank (docs/proxy.md), and nothing published is like them: trials {shown}"
