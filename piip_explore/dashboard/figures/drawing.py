"""The drawing of an architecture: branches as lanes, interactions as links, the merge at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from piip_explore import catalog
from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette, style
from piip_explore.design import Branch, Design, Interaction

_LANE = 1.0
_TOP = 0.42
_HEAD = 0.86
"""The upper end: two lines about the interactions stand between it and the first lane."""
_NAME = 18
"""Characters of a model's name that fit beside its lane."""
_MERGE_NAMES = {
    "conv": "merge:<br>convolutions,<br>then a pyramid",
    "linear": "merge:<br>linear,<br>one map",
    "conv-multilevel": "merge:<br>convolutions after<br>several interactions",
    "separate-heads": "one head per<br>branch, averaged",
    "none": "no merge",
}
_WEIGHTINGS = {"published": "", "scalar": ",<br>weighted", "channel": ",<br>weighted by channel"}


@dataclass
class _Canvas:
    """What is drawn so far; Plotly takes seconds to add hundreds of shapes one by one."""

    shapes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    traces: list[go.Scatter] = field(default_factory=list)

    def note(self, x: float, y: float, words: str, **options: Any) -> None:
        self.notes.append({"x": x, "y": y, "text": words, "showarrow": False, **options})


@dataclass(frozen=True)
class Scale:
    """What the largest lane and its core stand for: the largest resolution (pixels) and width (channels) drawn."""

    resolution: int
    width: int

    @classmethod
    def of(cls, designs: Sequence[Design]) -> Scale:
        """Return the scale on which all of these designs fit."""
        branches = [branch for design in designs for branch in design.branches]
        return cls(max(branch.resolution for branch in branches), max(branch.spec.out_dim for branch in branches))


def drawing(design: Design, scale: Scale | None = None) -> go.Figure:
    """Draw a design, time from left to right: the highest resolution on top, the height of a lane its resolution.

    The core of a lane is divided into the model's blocks, and its share of the lane says how wide the model is; both
    are on `scale`, by default the design's own. Vertical links are the interactions, at the place where each follows
    its branch's blocks, with arrows in the direction information flows.
    """
    design = design.sorted()
    canvas = _Canvas()
    scale = scale or Scale.of([design])
    interactions = design.interaction.count if design.interaction else 0
    for lane, branch in enumerate(design.branches):
        _branch(canvas, lane, branch, scale, interactions)
    if design.interaction is not None:
        _interactions(canvas, design, design.interaction, scale)
    if len(design.branches) > 1:
        _merge(canvas, design)
    # Room below for the lowest lane, or for the five lines beside it.
    low = -(len(design.branches) - 1) * _LANE - max(0.38, _half(design.branches[-1], scale)) - 0.05
    figure = go.Figure(canvas.traces)
    figure.update_layout(shapes=canvas.shapes, annotations=canvas.notes)
    figure.update_xaxes(visible=False, range=[-0.34, 1.3], fixedrange=True)
    figure.update_yaxes(visible=False, range=[low, _HEAD], fixedrange=True)
    style.layout(figure, round(24 + 104 * (_HEAD - low)), showlegend=False, dragmode=False)
    return figure.update_layout(margin={"t": 8, "b": 8})


def block_groups(spec: catalog.Model, interactions: int) -> list[tuple[int, int]]:
    """Return the first and the last block of every group of a branch's blocks; an interaction follows each group."""
    ends = catalog.positions(spec, interactions) if interactions else (spec.blocks - 1,)
    return list(zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True))


def _half(branch: Branch, scale: Scale) -> float:
    return max(0.08, _TOP * branch.resolution / scale.resolution)


def _branch(canvas: _Canvas, lane: int, branch: Branch, scale: Scale, interactions: int) -> None:
    spec, y, half = branch.spec, -lane * _LANE, _half(branch, scale)
    groups = block_groups(spec, interactions)
    color, _ = palette.series(lane)
    fill = {"line": {"width": 0}, "fillcolor": color, "layer": "below"}
    spans = [_span(group, len(groups)) for group in range(len(groups))]
    lanes = " ".join(_rectangle(x0, x1, y - half, y + half) for x0, x1 in spans)
    blocks = []
    for (x0, x1), (first, last) in zip(spans, groups, strict=True):
        step = (x1 - x0) / (last - first + 1)
        for block in range(first, last + 1):
            core = half * spec.width(block) / scale.width
            left = x0 + step * (block - first)
            blocks.append(_rectangle(left + 0.06 * step, left + 0.94 * step, y - core, y + core))
    canvas.shapes.append({"type": "path", "path": lanes, "opacity": 0.3, **fill})
    canvas.shapes.append({"type": "path", "path": " ".join(blocks), **fill})
    canvas.traces.append(
        go.Scatter(
            x=[(x0 + x1) / 2 for x0, x1 in spans],
            y=[y] * len(spans),
            mode="markers",
            hovertext=[_card(branch, first, last) for first, last in groups],
            hoverinfo="text",
            marker={"size": 22, "opacity": 0, "color": color},
        )
    )
    grid = f"{branch.grid} × {branch.grid} patches of {spec.patch}"
    sizes = grid if isinstance(spec, catalog.ViT) else _pyramid(branch)
    words = (
        f"<b>{_name(branch.model)}</b><br>{branch.resolution} px{_window(branch)}<br>{sizes}<br>"
        f"{spec.blocks} blocks of {spec.out_dim}"
    )
    canvas.note(-0.02, y, words, xanchor="right", align="right")


def _name(model: str) -> str:
    """Return a model's name, a long one in two lines: the labels share the width of a phone with the lanes."""
    shown = text.one_line(model)
    if len(shown) <= _NAME:
        return text.plain(shown)
    cut = shown.rfind(",", 0, _NAME) + 1 or _NAME
    return f"{text.plain(shown[:cut])}<br>{text.plain(shown[cut:], _NAME)}"


def _rectangle(x0: float, x1: float, y0: float, y1: float) -> str:
    return f"M{x0:.5f},{y0:.4f}L{x1:.5f},{y0:.4f}L{x1:.5f},{y1:.4f}L{x0:.5f},{y1:.4f}Z"


def _card(branch: Branch, first: int, last: int) -> str:
    spec = branch.spec
    blocks = f"block {first + 1}" if first == last else f"blocks {first + 1} to {last + 1}"
    side = branch.resolution // spec.stride(last)
    return (
        f"<b>{text.plain(branch.model)}</b><br>{blocks} of {spec.blocks}<br>"
        f"map {side} × {side}, {spec.width(last)} channels<br>{_attention(branch, first, last)}"
    )


def _span(group: int, groups: int) -> tuple[float, float]:
    gap = min(0.012, 0.25 / groups)
    return group / groups, (group + 1) / groups - gap


def _pyramid(branch: Branch) -> str:
    spec = branch.spec
    assert isinstance(spec, catalog.ConvNeXt)
    return "maps " + ", ".join(str(branch.resolution // (spec.patch << stage)) for stage in range(4))


def _window(branch: Branch) -> str:
    if branch.window is None:
        return ""
    every = f",<br>global every {branch.global_every} blocks" if branch.global_every else ""
    return f", windows of {branch.window}{every}"


def _attention(branch: Branch, first: int, last: int) -> str:
    if isinstance(branch.spec, catalog.OwnBranch):
        return "blocks of its own"
    if isinstance(branch.spec, catalog.ConvNeXt):
        return "7 × 7 convolutions"
    windows = {branch.block_window(block) for block in range(first, last + 1)}
    kinds = ["global attention" if window is None else f"windows of {window} × {window}" for window in windows]
    return " and ".join(sorted(kinds))


def _interactions(canvas: _Canvas, design: Design, interaction: Interaction, scale: Scale) -> None:
    pairs = set(design.directed_pairs)
    groups = interaction.count
    for group in range(groups):
        x = _span(group, groups)[1] + min(0.006, 0.12 / groups)
        for high, low in sorted({(min(pair), max(pair)) for pair in pairs}):
            shift = 0.012 * (low - high - 1) / max(1, groups / 12)
            top = -high * _LANE - _half(design.branches[high], scale)
            bottom = -low * _LANE + _half(design.branches[low], scale)
            if (high, low) in pairs:
                canvas.notes.append(_arrow(x + shift, top, bottom))
            if (low, high) in pairs:
                canvas.notes.append(_arrow(x + shift, bottom, top))
    kind = "deformable" if interaction.attention == "deformable" else "full"
    words = f"{text.count(groups, 'interaction')}, {kind} attention,<br>{_DIRECTIONS[interaction.direction]}"
    # From the first lane's start on, where a phone shows it before it is scrolled.
    canvas.note(0, _HEAD, words, xanchor="left", yanchor="top", align="left")


_DIRECTIONS = {
    "both": "both ways between neighbours",
    "up": "the low resolution informs the high",
    "down": "the high resolution informs the low",
    "all": "both ways between all branches",
}


def _arrow(x: float, start: float, end: float) -> dict[str, Any]:
    return {
        "x": x,
        "y": end,
        "ax": x,
        "ay": start,
        "xref": "x",
        "yref": "y",
        "axref": "x",
        "ayref": "y",
        "text": "",
        "showarrow": True,
        "arrowhead": 2,
        "arrowsize": 0.9,
        "arrowwidth": 1.4,
        "arrowcolor": palette.GREY,
    }


def _merge(canvas: _Canvas, design: Design) -> None:
    middle = -(len(design.branches) - 1) * _LANE / 2
    line = {"type": "line", "x0": 1.0, "x1": 1.06, "y1": middle, "line": {"color": palette.GREY, "width": 2}}
    canvas.shapes += [{**line, "y0": -index * _LANE} for index in design.out]
    feeding = "" if design.merge.out is None else f"<br>of branches {', '.join(str(i + 1) for i in design.out)}"
    merge = _MERGE_NAMES[design.merge.kind] + _WEIGHTINGS[design.merge.weighting] + feeding
    canvas.note(1.07, middle, merge, xanchor="left", align="left")
