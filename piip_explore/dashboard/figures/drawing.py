"""The drawing of an architecture: branches as lanes, exchanges as links, the merge at the end."""

from __future__ import annotations

import plotly.graph_objects as go

from piip_explore import catalog
from piip_explore.dashboard import text
from piip_explore.dashboard.figures import style
from piip_explore.design import Branch, Design

_LANE = 1.0
_TOP = 0.42
_MERGE_NAMES = {
    "conv": "merge: convolutions, then a pyramid",
    "linear": "merge: linear, one map",
    "conv-multilevel": "merge: convolutions after several exchanges",
    "separate-heads": "one head per branch, averaged",
    "none": "no merge",
}


def drawing(design: Design) -> go.Figure:
    """Draw a design, time from left to right: the highest resolution on top, the height of a lane its resolution.

    A lane is divided into its blocks; the colour's strength says how wide the model is. Vertical links are the
    exchanges, at the place where each follows its branch's blocks, with arrows in the direction information flows.
    """
    design = design.sorted()
    figure = go.Figure()
    widest = max(branch.spec.out_dim for branch in design.branches)
    for lane, branch in enumerate(design.branches):
        _branch(figure, lane, branch, design.resolution, widest, design.interaction.count if design.interaction else 0)
    _exchanges(figure, design)
    _merge(figure, design)
    lanes = len(design.branches)
    figure.update_xaxes(visible=False, range=[-0.34, 1.3], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-(lanes - 1) * _LANE - 0.62, 0.62], fixedrange=True)
    return style.layout(figure, 90 + 96 * lanes, showlegend=False, dragmode=False)


def _half(branch: Branch, largest: int) -> float:
    return max(0.12, _TOP * branch.resolution / largest)


def _branch(figure: go.Figure, lane: int, branch: Branch, largest: int, widest: int, exchanges: int) -> None:
    spec, y, half = branch.spec, -lane * _LANE, _half(branch, largest)
    ends = catalog.positions(spec, exchanges) if exchanges else (spec.blocks - 1,)
    starts = [0, *(end + 1 for end in ends[:-1])]
    strength = 0.35 + 0.6 * spec.out_dim / widest
    for group, (first, last) in enumerate(zip(starts, ends, strict=True)):
        x0, x1 = _span(group, len(ends))
        figure.add_shape(
            type="rect",
            x0=x0,
            x1=x1,
            y0=y - half,
            y1=y + half,
            line_width=0,
            fillcolor=style.SERIES[lane % len(style.SERIES)],
            opacity=strength,
            layer="below",
        )
        blocks = f"block {first + 1}" if first == last else f"blocks {first + 1} to {last + 1}"
        side = branch.resolution // spec.stride(last)
        card = (
            f"<b>{text.plain(branch.model)}</b><br>{blocks} of {spec.blocks}<br>"
            f"map {side} × {side}, {spec.width(last)} channels<br>{_attention(branch, first, last)}"
        )
        figure.add_trace(
            go.Scatter(
                x=[(x0 + x1) / 2],
                y=[y],
                mode="markers",
                hovertext=card,
                hoverinfo="text",
                marker={"size": 22, "opacity": 0, "color": style.SERIES[lane % len(style.SERIES)]},
            )
        )
    sizes = (
        f"{branch.grid} × {branch.grid} patches of {spec.patch}" if isinstance(spec, catalog.ViT) else _pyramid(branch)
    )
    figure.add_annotation(
        x=-0.02,
        y=y,
        xanchor="right",
        showarrow=False,
        align="right",
        text=f"<b>{text.plain(branch.model, 24)}</b><br>{branch.resolution} px{_window(branch)}<br><sub>{sizes}</sub>",
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
    every = f", every {branch.global_every}th block global" if branch.global_every else ""
    return f", windows of {branch.window}{every}"


def _attention(branch: Branch, first: int, last: int) -> str:
    if isinstance(branch.spec, catalog.ConvNeXt):
        return "7 × 7 convolutions"
    windows = {branch.block_window(block) for block in range(first, last + 1)}
    kinds = ["global attention" if window is None else f"windows of {window} × {window}" for window in windows]
    return " and ".join(sorted(kinds))


def _exchanges(figure: go.Figure, design: Design) -> None:
    interaction = design.interaction
    if interaction is None:
        return
    pairs = set(design.directed_pairs)
    groups = interaction.count
    for group in range(groups):
        x = _span(group, groups)[1] + min(0.006, 0.12 / groups)
        for high, low in sorted({(min(pair), max(pair)) for pair in pairs}):
            shift = 0.012 * (low - high - 1) / max(1, groups / 12)
            top = -high * _LANE - _half(design.branches[high], design.resolution)
            bottom = -low * _LANE + _half(design.branches[low], design.resolution)
            for source, query in ((high, low), (low, high)):
                if (source, query) in pairs:
                    down = source == high
                    _arrow(figure, x + shift, *((top, bottom) if down else (bottom, top)))
    kind = "deformable" if interaction.attention == "deformable" else "full"
    figure.add_annotation(
        x=0.5,
        y=0.6,
        showarrow=False,
        yanchor="top",
        text=f"{text.count(groups, 'exchange')} by {kind} attention, {_DIRECTIONS[interaction.direction]}",
    )


_DIRECTIONS = {
    "both": "both ways between neighbours",
    "up": "the low resolution informs the high",
    "down": "the high resolution informs the low",
    "all": "both ways between all branches",
}


def _arrow(figure: go.Figure, x: float, start: float, end: float) -> None:
    figure.add_annotation(
        x=x,
        y=end,
        ax=x,
        ay=start,
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        text="",
        showarrow=True,
        arrowhead=2,
        arrowsize=0.9,
        arrowwidth=1.2,
        arrowcolor=style.GREY,
    )


def _merge(figure: go.Figure, design: Design) -> None:
    if len(design.branches) == 1:
        return
    middle = -(len(design.branches) - 1) * _LANE / 2
    for index in design.out:
        figure.add_shape(
            type="line", x0=1.0, x1=1.06, y0=-index * _LANE, y1=middle, line={"color": style.GREY, "width": 2}
        )
    name = _MERGE_NAMES[design.merge.kind].replace(", ", ",<br>").replace(": ", ":<br>").replace(" after", "<br>after")
    feeding = "" if design.merge.out is None else f"<br>of branches {', '.join(str(i + 1) for i in design.out)}"
    figure.add_annotation(x=1.07, y=middle, xanchor="left", align="left", showarrow=False, text=f"{name}{feeding}")
