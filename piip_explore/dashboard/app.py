"""The frame around every page: navigation, the study, the accounting, and errors as sentences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

import numpy as np
import streamlit as st
from PIL import Image

from piip_explore.dashboard import options, view
from piip_explore.dashboard.context import Context, choose_study, sentences

PAGES = {
    "front": ("Front", ":material/show_chart:"),
    "design": ("Design", ":material/schema:"),
    "compare": ("Compare", ":material/compare_arrows:"),
    "space": ("Space", ":material/grid_view:"),
    "study": ("Study", ":material/monitoring:"),
    "validity": ("Validity", ":material/fact_check:"),
    "published": ("Published", ":material/menu_book:"),
}
"""Every page: its module in `pages` (and its address), title and icon."""


_STYLE = "<style>.stMainBlockContainer { padding-top: 3.5rem; padding-bottom: 3rem; }</style>"
"""Streamlit leaves six and ten rem, a third of a small screen."""


def run() -> None:
    """Show the dashboard; Streamlit calls this for every interaction."""
    st.set_page_config(page_title="piip-explore", page_icon=_icon(), layout="wide")
    st.html(_STYLE)
    given = options.parse(sys.argv[1:])
    context = Context(given)
    for name, (title, icon) in PAGES.items():
        shown = _shown(name, context)
        context.pages[name] = st.Page(shown, title=title, icon=icon, url_path=name, default=name == "front")
    page = st.navigation(list(context.pages.values()))
    with st.sidebar:
        choose_study(context)
        st.segmented_control(
            "FLOPs accounting",
            ["published", "built"],
            default="published",
            required=True,
            key="accounting",
            bind="query-params",
            help="`published` follows the papers' conventions and compares with their tables; `built` counts the "
            "network that is trained.",
        )
    view.publish()
    page.run()


def _icon() -> Image.Image:
    """Return an inverted pyramid of three bars; Streamlit's own icons would be fetched from the internet."""
    icon = np.zeros((32, 32, 4), dtype=np.uint8)
    for row, inset, color in ((2, 1, (0, 114, 178)), (12, 6, (230, 159, 0)), (22, 11, (0, 158, 115))):
        icon[row : row + 8, inset : 32 - inset] = (*color, 255)
    return Image.fromarray(icon)


def _shown(name: str, context: Context) -> Callable[[], None]:
    """Return a page as a function: what is wrong with its input is shown as a sentence in its place."""

    def page() -> None:
        with sentences():
            import_module(f"piip_explore.dashboard.pages.{name}").show(context)

    page.__name__ = name
    return page
