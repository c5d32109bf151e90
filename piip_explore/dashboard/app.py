"""The frame around every page: navigation, the study, the accounting, and errors as sentences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from piip_explore.dashboard import address, options, selection
from piip_explore.dashboard.context import ACCOUNTINGS, Context, choose_study, sentences

if TYPE_CHECKING:
    from streamlit.navigation.page import Page as StreamlitPage

PAGES = {
    "explore": ("Explore", ":material/show_chart:", ""),
    "design": ("Design", ":material/schema:", ""),
    "compare": ("Compare", ":material/compare_arrows:", ""),
    "study": ("Search", ":material/monitoring:", "Run"),
    "space": ("Space", ":material/grid_view:", "Run"),
    "validity": ("Validity", ":material/fact_check:", "Evidence"),
    "published": ("Published", ":material/menu_book:", "Evidence"),
}
"""Every page: its module in `pages` (and its address), title, icon, and the place of the menu that it is in."""


_STYLE = """<style>
.stMainBlockContainer { padding-top: 4rem; padding-bottom: 3rem; }
[data-testid=stCaptionContainer], [data-testid=stCaptionContainer] :is(p, li) { color: inherit !important; }
[data-testid=stCaptionContainer] { opacity: 0.8; }
[data-testid=stMarkdownContainer] :not(pre) > code { display: inline-block; max-width: 100%; }
.piip-design {
  display: block; padding: 0.75rem; border-radius: 0.5rem; background: rgba(138, 143, 152, 0.12);
  font-size: 0.875rem; overflow-wrap: anywhere; user-select: all;
}
.piip-design span { display: inline-block; max-width: 100%; }
[data-testid=stHorizontalBlock] > :has(> [data-testid=stPageLink]) { margin: 4px 0; }
[data-testid=stButtonGroup] > div > button { min-height: 2.5rem; }
.st-key-bar { border-bottom: 1px solid rgba(138, 143, 152, 0.3); padding-bottom: 0.5rem; }
table.piip-figures { width: 100%; border-collapse: collapse; font-size: 0.9rem; }
table.piip-figures th { text-align: left; font-weight: 400; }
table.piip-figures :is(td, th) { padding: 0.15rem 0.4rem; border-bottom: 1px solid rgba(138, 143, 152, 0.3); }
table.piip-figures td { text-align: right; font-variant-numeric: tabular-nums; }
.piip-pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.piip-pictures figure { margin: 0; max-width: 100%; }
.piip-pictures img { display: block; width: 570px; max-width: 100%; border-radius: 4px; }
.piip-pictures figcaption { font-size: 0.9rem; padding-top: 0.25rem; }
[data-testid=stElementContainer]:has(> * > .piip-more) { display: none; }
.piip-more summary {
  border: 1px solid rgba(138, 143, 152, 0.5); border-radius: 0.5rem; padding: 0.45rem 0.75rem; cursor: pointer;
}
@media (hover: none) {
  .stDataFrame { margin-top: 2rem; }
}
@media (max-width: 640px) {
  [data-testid=stElementContainer]:has(> * > .piip-more) { display: block; }
  .st-key-bar > .st-key-study { flex: 1 1 12rem; }
  .st-key-study [data-testid=stWidgetLabel] { position: absolute; clip-path: inset(50%); }
  .st-key-bar:not(:has(.piip-more[open])) > :is(.st-key-accounting, :has(.st-key-find_bar, .st-key-share)) {
    display: none;
  }
  .st-key-inspector:has(.st-key-pin_it) {
    position: fixed; left: 0; right: 0; bottom: 0; z-index: 100; max-height: 45vh; overflow-y: auto;
    background: Canvas; border-radius: 12px 12px 0 0; box-shadow: 0 -4px 16px rgba(0, 0, 0, 0.3);
  }
  .stMainBlockContainer:has(.st-key-pin_it) { padding-bottom: 50vh; }
}
</style>"""
"""Streamlit leaves six and ten rem above and below, a third of a small screen. Code in a sentence moves to the next
line whole, and so does a word of a design, which one click selects. A link in a row and the buttons of a choice are as
high as fields. A touch screen always shows the tool bar above a table, which needs room. On a phone the bar is one row,
whose rest *More* opens, and what is selected is a sheet from below, over a page that scrolls on."""

_MORE = "<details class=piip-more><summary>More</summary></details>"
"""What opens the rest of the bar on a phone, in the browser alone: the server does not know how wide a screen is."""


def run() -> None:
    """Show the dashboard; Streamlit calls this for every interaction."""
    st.set_page_config(page_title="piip-explore", page_icon=_icon(), layout="wide")
    st.html(_STYLE)
    address.begin()
    context = Context(options.parse(sys.argv[1:]))
    page = st.navigation(_menu(context), position="top")
    _bar(context)
    page.run()


def _menu(context: Context) -> dict[str, list[StreamlitPage]]:
    """Return the pages by place; how many designs Compare holds is in its title."""
    places: dict[str, list[StreamlitPage]] = {}
    for name, (title, icon, place) in PAGES.items():
        count = len(address.compared()) if name == "compare" else 0
        shown = f"{title} ({count})" if count else title
        page = st.Page(_shown(name, context), title=shown, icon=icon, url_path=name, default=name == "explore")
        context.pages[name] = page
        places.setdefault(place, []).append(page)
    return places


def _bar(context: Context) -> None:
    """Draw what stands above every page: the study, the accounting, a search, and the address to share."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="bar"):
        choose_study(context)
        st.html(_MORE, width="content")
        st.segmented_control(
            "FLOPs accounting",
            ACCOUNTINGS,
            required=True,
            help="`published` follows the papers' conventions and compares with their tables; `built` counts the "
            "network that is trained.",
            **address.one("accounting", ACCOUNTINGS, ACCOUNTINGS[0]),
        )
        with st.container(width=360, key="find_bar"):
            selection.field("Find a trial by its number, or write a design", "find", add=False)
        _share()


@st.fragment
def _share() -> None:
    """Draw the button that shows the address to share; it is computed when the button is pressed."""
    popover = st.popover("Share", icon=":material/share:", key="share", on_change="rerun")
    if popover.open:
        with popover:
            st.caption("This address reopens the same view for who runs the dashboard over the same studies.")
            st.code(address.link(), language=None, wrap_lines=True)


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
