"""A study as one HTML file that needs nothing else: to send to a colleague, or to keep beside a paper."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from piip_explore import __version__, cost
from piip_explore.dashboard import filters, text, training, validity
from piip_explore.dashboard.figures import palette, style
from piip_explore.dashboard.figures.cost import by_module
from piip_explore.dashboard.figures.drawing import Scale, drawing
from piip_explore.dashboard.figures.front import chart
from piip_explore.dashboard.figures.study import curves
from piip_explore.dashboard.sentence import contradiction, sentence
from piip_explore.dashboard.tradeoff import Tradeoff, marks, strips
from piip_explore.dashboard.trials import Filters, Trials
from piip_explore.design import Design
from piip_explore.errors import InputError

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #1f2328; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.2rem 0.6rem; border-bottom: 1px solid #d0d7de; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { background: #f3f4f6; padding: 0.1rem 0.3rem; border-radius: 4px; overflow-wrap: anywhere; }
code span { display: inline-block; max-width: 100%; }
.note { color: #59636e; font-size: 0.9rem; }
"""


def page(
    study: str,
    trials: Trials,
    chosen: Sequence[int] = (),
    accounting: str = "published",
    budget: float | None = None,
    results: Sequence[Path] = (),
    picture_of: Callable[[int], bytes] = lambda row: b"",
) -> str:
    """Return the report of a study: its front, knee and chosen trials with drawings and costs, evidence, conditions.

    `results` are folders of the results of `piip-explore validate`; `picture_of` returns what a trial predicted, a WebP
    file, empty if there is none.

    Raises:
        InputError: no trial has a score yet, or a chosen number is none of the study's.
    """
    tradeoff = filters.tradeoff(trials, accounting, "gflops", "score", True, Filters())
    if not tradeoff.shown.any():
        raise InputError(f"no trial of study '{study}' has a score yet: there is nothing to report")
    for row in chosen:
        if not 0 <= row < len(trials):
            raise InputError(f"trial {row} is not in study '{study}': it has trials 0 to {len(trials) - 1}")
    pointed = {"knee": tradeoff.knee, "best": tradeoff.best(budget)}
    rows = list(dict.fromkeys([row for row in [*pointed.values(), *chosen] if row is not None]))
    parts = [
        f"<h1>{_plain(study)}</h1>",
        f"<p>{_plain(sentence(tradeoff, budget))} {_plain(contradiction(tradeoff))}</p>",
        _figure(front_figure(tradeoff, accounting, budget, chosen)),
        f"<p class=note>Searched with: {_plain(trials.conditions)}</p>",
        "<h2>Designs</h2>",
        *_designs(tradeoff, rows, pointed, accounting, picture_of),
        "<h2>Pareto front</h2>",
        _table(trials, tradeoff.front),
        "<h2>Evidence</h2>",
        *_evidence(results),
        f"<p class=note>Written by piip-explore {__version__}.</p>",
    ]
    script = f"<script>{get_plotlyjs()}</script>"
    head = f"<meta charset=utf-8><title>{_plain(study)}</title><style>{_STYLE}</style>{script}"
    return f"<!doctype html><html lang=en><head>{head}</head><body><main>{''.join(parts)}</main></body></html>\n"


def _plain(words: object) -> str:
    return html.escape(text.one_line(words, 2000))


def _figure(figure: go.Figure) -> str:
    config = {"displaylogo": False, "responsive": True}
    shown: str = style.alone(figure).to_html(full_html=False, include_plotlyjs=False, config=config)
    return shown


def front_figure(tradeoff: Tradeoff, accounting: str, budget: float | None, chosen: Sequence[int]) -> go.Figure:
    """Draw the chart with its marks: the knee, the best within the budget, and the chosen trials."""
    figure = chart(tradeoff.points(), tradeoff.axes, strips(tradeoff, accounting))
    colors = {row: palette.SERIES[(place + 1) % len(palette.SERIES)] for place, row in enumerate(chosen)}
    for mark in marks(tradeoff, budget, [], colors):
        ring = {"size": 19, "symbol": "circle-open", "color": mark.color, "line": {"width": 2.5}}
        place = {"x": [mark.x], "y": [mark.y], "text": [mark.label], "textposition": "bottom right"}
        figure.add_trace(go.Scatter(**place, mode="markers+text", marker=ring, hoverinfo="skip"))
    if budget is not None:
        figure.add_vline(budget, line_dash="dash", line_color=palette.VERMILLION)
    return figure


def _designs(
    tradeoff: Tradeoff,
    rows: Sequence[int],
    pointed: Mapping[str, int | None],
    accounting: str,
    picture_of: Callable[[int], bytes],
) -> list[str]:
    """Return a part per design: text, figures, drawing, costs and how it trained; all drawings are on one scale."""
    trials = tradeoff.trials
    designs = {row: Design.parse(str(trials.designs[row])) for row in rows}
    scale = Scale.of(list(designs.values()))
    parts = []
    for row, design in designs.items():
        names = ", ".join(f"the {name}" for name, which in pointed.items() if which == row)
        counted = cost.count(design, accounting)
        parts += [
            f"<h3>Trial {row}{': ' + names if names else ''}</h3>",
            f"<p>{text.design(design)}</p>",
            _table(trials, np.array([row])),
            _figure(drawing(design, scale)),
            _figure(by_module(counted.by_module, f"GFLOPs ({accounting})")),
        ]
        parts += _training(trials, row)
        picture = picture_of(row)
        parts += [f"<p class=note>{training.LEGEND}</p>{training.figure(picture, f'trial {row}')}"] if picture else []
    return parts


def _training(trials: Trials, row: int) -> list[str]:
    """Return a trial's loss and metric over samples seen, as far as they are recorded."""
    try:
        known = training.recorded(trials, row)
    except InputError as error:
        return [f"<p class=note>{_plain(error)}</p>"]
    return [_figure(curves({f"trial {row}": curve}, label)) for label, curve in known.items()]


def _table(trials: Trials, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    columns = trials.figures()
    head = "".join(f"<th scope=col>{_plain(name)}</th>" for name in ["trial", *columns, "design"])
    lines = []
    for row in rows:
        cells = "".join(f"<td class=number>{text.number(values[row], 4)}</td>" for values in columns.values())
        lines.append(f"<tr><td>{row}</td>{cells}<td>{text.design(trials.designs[row])}</td></tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _evidence(results: Sequence[Path]) -> list[str]:
    """Return what validations say of the proxy, or that there are none."""
    found = validity.find(results)
    if not found:
        return [
            "<p>No proxy has been validated: how far these scores rank designs as full training would is unknown.</p>"
        ]
    parts = []
    for name, path in found.items():
        validation = validity.read(path)
        preset = validation.recipe.get("preset")
        parts.append(f"<p>{_plain(name)} (preset {_plain(preset)}): {_plain(' '.join(validation.verdicts))}</p>")
    return parts
