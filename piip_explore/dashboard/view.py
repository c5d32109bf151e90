"""What the address bar holds on every page: the study, the selected designs and the accounting.

Pages bind their own widgets to the address themselves (`bind="query-params"`). What is here belongs to all pages, so
that any address, sent to a colleague, reopens the same view.

A selected design is named by a token: the number of a trial of the study, or else the text form of a design.
"""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from piip_explore.design import Design

MOST_SELECTED = 50
"""More designs than this are not kept in an address."""

_PICKS = "pick"


def picks() -> tuple[str, ...]:
    """Return the tokens of the selected designs, in the order of their selection."""
    if _PICKS not in st.session_state:
        st.session_state[_PICKS] = tuple(st.query_params.get_all(_PICKS))[:MOST_SELECTED]
    return tuple(st.session_state[_PICKS])


def select(tokens: Iterable[object], *, add: bool = False) -> None:
    """Select designs in place of those selected before, or besides them."""
    before = picks() if add else ()
    st.session_state[_PICKS] = tuple(dict.fromkeys([*before, *map(str, tokens)]))[:MOST_SELECTED]


def publish() -> None:
    """Write the selection to the address; call once per run, before a page."""
    selected = picks()
    if tuple(st.query_params.get_all(_PICKS)) != selected:
        if selected:
            st.query_params[_PICKS] = list(selected)
        else:
            del st.query_params[_PICKS]


def trials(selected: Iterable[str]) -> list[int]:
    """Return the trial numbers among tokens."""
    return [int(token) for token in selected if _is_trial(token)]


def design_of(token: str) -> Design | None:
    """Return the design that a token spells out, None where it names a trial.

    Raises:
        InputError: it spells no design.
    """
    return None if _is_trial(token) else Design.parse(token)


def _is_trial(token: str) -> bool:
    return token.isascii() and token.isdigit() and len(token) < 10
