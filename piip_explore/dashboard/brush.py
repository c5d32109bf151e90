"""Designs drawn as lines over their choices, and the ranges that a brush keeps on the axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from piip_explore.dashboard import address, plot
from piip_explore.dashboard.choices import Ranges
from piip_explore.dashboard.figures.contents import Dimension
from piip_explore.dashboard.figures.space import parallel
from piip_explore.dashboard.plot import Marks


def kept(name: str) -> Ranges:
    """Return the ranges that the address holds under a name; words that are not ranges are ignored."""
    found: Ranges = {}
    for word in address.get(name):
        label, _, ends = word.rpartition("~")
        try:
            low, high = (float(end) for end in ends.split("_"))
        except ValueError:
            continue
        found.setdefault(label, []).append([low, high])
    return found


def keep(name: str, ranges: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Write ranges to the address under a name."""
    words = [f"{label}~{low:.4g}_{high:.4g}" for label, some in ranges.items() for low, high in some]
    address.put(**{name: words})


def draw(dimensions: Sequence[Dimension], color: str, name: str, key: str, alt: str) -> Ranges:
    """Draw designs as lines that the axis `color` colours; return the ranges under `name`, which a brush changes."""
    least = 90 * len(dimensions)
    plot.draw(parallel(dimensions, color), key, alt, least=least, on_brush=partial(keep, name))
    ranges = kept(name)
    plot.mark(key, Marks(brush=ranges))
    return ranges


def clear_button(name: str) -> None:
    """Draw the button that clears the ranges under a name."""
    st.button("Clear the ranges", on_click=keep, args=(name, {}))
