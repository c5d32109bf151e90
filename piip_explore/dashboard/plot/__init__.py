"""Charts in the browser: a Streamlit component around plotly.js.

Streamlit's own chart remounts whenever its figure changes and cannot be told what is selected. Here a figure is sent
once and kept (`draw`), and what is marked on it is sent apart (`mark`): a selection, the budget and a brush move
without the figure being sent or drawn again, and the zoom stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY_JS = f"/plotly/{version('plotly')}/plotly.min.js"
"""Where the server hands out plotly.js."""

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "piip_explore_plot",
    js=(_FOLDER / "plot.js").read_text(encoding="utf-8"),
    css=(_FOLDER / "plot.css").read_text(encoding="utf-8"),
    isolate_styles=False,
)
_overlay = st.components.v2.component(
    "piip_explore_marks", js=(_FOLDER / "marks.js").read_text(encoding="utf-8"), isolate_styles=False
)


@dataclass(frozen=True)
class Mark:
    """A trial pointed out on a chart: where it is (data units), in which colour, and with which words beside it."""

    trial: int
    x: float | None
    y: float | None
    color: str
    label: str = ""
    selected: bool = False


@dataclass(frozen=True)
class Budget:
    """The limit on x that can be dragged between `low` and `high` in steps; `high` means no limit."""

    value: float
    low: float
    high: float
    step: float
    unit: str


@dataclass(frozen=True)
class Marks:
    """All that is drawn over a chart. `walk` are the trials that the arrow keys step along, `brush` the ranges that are
    kept per axis of parallel coordinates."""

    marks: Sequence[Mark] = ()
    budget: Budget | None = None
    walk: Sequence[int] = ()
    brush: dict[str, list[list[float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A figure as it is sent; one of many points is worth keeping."""

    json: str
    height: int


def prepare(figure: go.Figure) -> Prepared:
    """Return a figure as it is sent."""
    return Prepared(figure.to_json(), int(figure.layout.height))


def draw(
    figure: go.Figure | Prepared,
    key: str,
    alt: str,
    *,
    least: int = 0,
    on_pick: Callable[[Any], None] | None = None,
    on_budget: Callable[[float], None] | None = None,
    on_brush: Callable[[dict[str, list[list[float]]]], None] | None = None,
    on_key: Callable[[str], None] | None = None,
) -> None:
    """Draw a figure; `alt` says what it shows. Below `least` pixels of width it scrolls sideways in its frame.

    Handlers hear what is done on it.

    `on_pick` gets `{"points": customdata of what was clicked, boxed or lassoed, "boxes", "lassos": corners in data
    units, "add": whether to add to the selection}`, `on_budget` where the budget was dragged to, `on_brush` the ranges
    kept per axis of parallel coordinates, `on_key` what a key means: "clear", "pin" or "compare".
    """
    handlers = {"pick": on_pick, "budget": on_budget, "brush": on_brush, "key": on_key}
    heard: dict[str, Any] = {
        f"on_{name}_change": _hear(key, name, handler) for name, handler in handlers.items() if handler
    }
    sent = figure if isinstance(figure, Prepared) else prepare(figure)
    data = {
        "key": key,
        "source": PLOTLY_JS,
        "figure": sent.json,
        "height": sent.height,
        "alt": alt,
        "least": least,
        "picks": on_pick is not None,
    }
    _component(key=key, data=data, **heard)


def mark(key: str, marks: Marks) -> None:
    """Say what to draw over the chart `key`; what was there before is taken away."""
    _overlay(key=f"{key}_marks", data={"over": key, **asdict(marks)}, height=1)


def seen(key: str, height: int) -> bool:
    """Return whether the reader has scrolled to this place; until then, reserve `height` pixels for it.

    The calling fragment (or page) reruns once the place is on the screen and all charts are drawn.
    """
    flag = f"_{key}_seen"
    if st.session_state.get(flag):
        return True
    _overlay(key=f"{key}_place", data={"place": height}, on_seen_change=partial(st.session_state.update, {flag: True}))
    return False


def _hear(key: str, name: str, handler: Callable[[Any], None]) -> Callable[[], None]:
    """Return the callback of an event: the handler is called with what the browser sent."""

    def heard() -> None:
        value = st.session_state[key].get(name)
        if value is not None:
            handler(value)

    return heard
