"""The drawing of an architecture in small, as HTML: it is drawn with every step along the front, where a chart of its
own would take longer than all the rest of the page."""

from __future__ import annotations

import html
from itertools import groupby

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette
from piip_explore.dashboard.figures.drawing import block_groups
from piip_explore.design import Branch, Design

_LANE = 58
"""Pixels from lane to lane."""
_HALF = 18
"""Half the height of the largest lane, in pixels."""
_NAME = 18


def miniature(design: Design) -> str:
    """Return a design's lanes (height: resolution), their blocks (height: width of the model) and its interactions.

    The highest resolution is on top; each is on the design's own scale.
    """
    design = design.sorted()
    largest = max(branch.resolution for branch in design.branches)
    widest = max(branch.spec.out_dim for branch in design.branches)
    groups = design.interaction.count if design.interaction else 0
    halves = [max(4.0, _HALF * branch.resolution / largest) for branch in design.branches]
    centers = [lane * _LANE + _NAME + _HALF for lane in range(len(design.branches))]
    parts = []
    for lane, (branch, half, center) in enumerate(zip(design.branches, halves, centers, strict=True)):
        color, _ = palette.series(lane)
        name = html.escape(f"{text.one_line(branch.model, 30)} @ {branch.resolution}")
        top = center - half - _NAME
        parts.append(f"<div style='position:absolute; z-index:1; top:{top:.0f}px; background:Canvas'>{name}</div>")
        parts += _lane(branch, half, center, color, groups, widest)
    pairs = {(min(pair), max(pair)) for pair in design.directed_pairs}
    for high, low in sorted(pairs):
        top, bottom = centers[high] + halves[high], centers[low] - halves[low]
        parts += [
            f"<div style='position:absolute; left:calc({100 * (group + 1) / groups:.3f}% - 2px); top:{top:.1f}px; "
            f"height:{bottom - top:.1f}px; width:2px; background:{palette.GREY}'></div>"
            for group in range(groups)
        ]
    height = centers[-1] + _HALF + 4
    return (
        f"<div role=img aria-label='{html.escape(f'Branches of {design}', quote=True)}' "
        f"style='position:relative; height:{height}px; font-size:12px; line-height:{_NAME}px'>{''.join(parts)}</div>"
    )


def _lane(branch: Branch, half: float, center: float, color: str, groups: int, widest: int) -> list[str]:
    """Return a lane's groups of blocks; blocks of one width are one element with stripes."""
    spec = branch.spec
    spans = block_groups(spec, groups)
    parts, share = [], 100 / len(spans)
    for group, (first, last) in enumerate(spans):
        parts.append(_box(group * share, 0.94 * share, center, half, f"{color}4D"))
        step, left = 0.94 * share / (last - first + 1), group * share
        for width, run in groupby(range(first, last + 1), key=spec.width):
            count = len(list(run))
            stripes = (
                f"linear-gradient(90deg, transparent 8%, {color} 8% 92%, transparent 92%) 0 0 / {100 / count:.3f}% 100%"
            )
            parts.append(_box(left, step * count, center, half * width / widest, stripes))
            left += step * count
    return parts


def _box(left: float, width: float, center: float, half: float, background: str) -> str:
    return (
        f"<div style='position:absolute; left:{left:.3f}%; width:{width:.3f}%; top:{center - half:.1f}px; "
        f"height:{2 * half:.1f}px; background:{background}'></div>"
    )
