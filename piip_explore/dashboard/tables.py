"""Tables of designs whose ticks are the selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from piip_explore.dashboard import address


def table(
    frame: pd.DataFrame,
    tokens: Sequence[str],
    key: str,
    alt: str,
    select: Callable[[Sequence[str]], None] = address.select,
    **options: Any,
) -> None:
    """Draw a table with a row per token: the selected ones are ticked, and a tick calls `select`.

    What is selected and is not in the table stays selected.
    """
    selected = set(address.picks())
    rows = [row for row, token in enumerate(tokens) if token in selected]
    turn = st.session_state.get(f"_{key}_turn", 0)
    if _ticked(f"{key}_{turn}") not in (rows, None):
        # Ticks set on a table that is shown come back later as if they were the reader's: a new table takes its place.
        turn += 1
    st.session_state[f"_{key}_turn"] = turn
    with st.container(key=key):
        st.dataframe(
            frame,
            key=f"{key}_{turn}",
            alt=alt,
            hide_index=True,
            on_select=partial(_on_ticks, f"{key}_{turn}", tokens, rows, select),
            selection_mode="multi-row",
            selection_default={"selection": {"rows": rows}},
            **options,
        )


def _ticked(widget: str) -> list[int] | None:
    return sorted(st.session_state[widget]["selection"]["rows"]) if widget in st.session_state else None


def _on_ticks(
    widget: str, tokens: Sequence[str], before: Sequence[int], select: Callable[[Sequence[str]], None]
) -> None:
    now = _ticked(widget) or []
    dropped = {tokens[row] for row in before if row not in now}
    kept = [token for token in address.picks() if token not in dropped]
    select([*kept, *(tokens[row] for row in now if row not in before)])
