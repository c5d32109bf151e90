"""Pinned designs: kept beside the selection on every page, each in a colour of its own."""

from __future__ import annotations

import streamlit as st

from piip_explore.dashboard import address, text
from piip_explore.dashboard.figures import palette

COLORS = (palette.ORANGE, palette.GREEN, palette.PURPLE, palette.VERMILLION, palette.SKY, palette.YELLOW)
"""The colour of the first pin, the second, ...: of as many as an address keeps."""


def colors() -> dict[str, str]:
    """Return the colour of every pinned design by its token."""
    return dict(zip(address.pinned(), COLORS, strict=False))


def toggle(token: str) -> None:
    """Pin or unpin a design; one too many replaces the last pin."""
    pins = address.pinned()
    if token in pins:
        address.put(pin=[pin for pin in pins if pin != token])
    else:
        address.put(pin=[*pins[: address.MOST_PINNED - 1], token])


def name(token: str) -> str:
    """Return what to call a design by its token: `trial 4`, or its text."""
    return f"trial {token}" if address.trials([token]) else text.one_line(token, 40)


def tray() -> None:
    """Draw the pinned designs: a press selects one, a cross unpins it."""
    pins = colors()
    if not pins:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="tray"):
        st.caption("Pinned", width="content")
        for token, color in pins.items():
            dot = f"<span style='color:{color}; font-size:1.2rem' aria-hidden='true'>●</span>"
            st.html(dot, width="content")
            st.button(text.prose(name(token)), key=f"pinned_{token}", on_click=address.select, args=([token],))
            st.button(
                ":material/close:",
                key=f"unpin_{token}",
                on_click=toggle,
                args=(token,),
                help=f"Unpin {text.prose(name(token))}",
                type="tertiary",
            )
