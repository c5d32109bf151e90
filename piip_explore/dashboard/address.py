"""The address of what a browser looks at: study, selected and pinned designs, accounting, every choice of a page.

One store holds it, and the address in the browser names all of it, so that an address sent to a colleague reopens the
same view. Widgets, charts and tables are drawn from the store and write to it. Only where the browser itself moves
(a page is opened, Back, Forward) does the store follow the address.

A design is named by a token: the number of a trial of the study, or else the text form of a design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from piip_explore.design import Design

MOST_SELECTED, MOST_PINNED = 50, 6
"""More designs than these are not kept in an address."""

_STORE = "_view"


def begin() -> None:
    """Follow the address where the browser moved, else have it follow the store; call first in every run."""
    if _STORE not in st.session_state or _moved():
        st.session_state[_STORE] = _address()
    _publish()


def _moved() -> bool:
    """Whether this run answers Back or Forward."""
    run = get_script_run_ctx()
    return run is not None and run.is_history_navigation


def _address() -> dict[str, tuple[str, ...]]:
    return {name: tuple(st.query_params.get_all(name)) for name in st.query_params}


def _publish() -> None:
    store: dict[str, tuple[str, ...]] = st.session_state[_STORE]
    if store != _address():
        st.query_params.from_dict({name: list(words) for name, words in store.items()})


def link() -> str:
    """Return the whole address of what is looked at."""
    store: dict[str, tuple[str, ...]] = st.session_state[_STORE]
    query = urlencode([(name, word) for name, words in store.items() for word in words])
    return f"{str(st.context.url or '').partition('?')[0]}?{query}"


def get(name: str) -> tuple[str, ...]:
    """Return the words that the address holds for a name, none if it lacks the name."""
    if _STORE not in st.session_state:
        begin()
    store: dict[str, tuple[str, ...]] = st.session_state[_STORE]
    return store.get(name, ())


def put(**values: Iterable[object]) -> None:
    """Write words to store and address, one step of the browser's history; a name without words is left out."""
    store = {**st.session_state.get(_STORE, {}), **{name: tuple(map(_word, some)) for name, some in values.items()}}
    st.session_state[_STORE] = {name: words for name, words in store.items() if words}
    _publish()


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


# ---- Widgets that are drawn from the store


def one(
    name: str, options: Sequence[Any], default: Any = None, then: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Return the arguments that tie a widget with one of `options` to the address; `then` is called after a change."""
    known = {_word(option): option for option in options}
    value = next((known[word] for word in get(name) if word in known), default)
    return _tied(name, value, default, then)


def many(name: str, options: Sequence[Any], most: int | None = None) -> dict[str, Any]:
    """Return the arguments that tie a widget with any of `options` to the address; by default none are chosen."""
    known = {_word(option): option for option in options}
    return _tied(name, [known[word] for word in get(name) if word in known][:most], [])


def span(name: str, options: Sequence[Any]) -> dict[str, Any]:
    """Return the arguments that tie a slider over a range of `options` to the address; by default it is all of them."""
    known = {_word(option): option for option in options}
    ends = [known[word] for word in get(name) if word in known]
    default = (options[0], options[-1])
    # Streamlit tells a range from a single choice by the value that it is given.
    return {"value": default, **_tied(name, tuple(ends) if len(ends) == 2 else default, default)}


def number(name: str, low: float, high: float) -> float | None:
    """Return the number that the address holds, None where there is none from `low` up to but not including `high`."""
    for word in get(name):
        try:
            value = float(word)
        except ValueError:
            continue
        if low <= value < high:
            return value
    return None


def _tied(name: str, value: Any, default: Any, then: Callable[[], None] | None = None) -> dict[str, Any]:
    if name not in st.session_state or st.session_state[name] != value:
        st.session_state[name] = value
    return {"key": name, "on_change": _keep, "args": (name, default, then)}


def _keep(name: str, default: Any, then: Callable[[], None] | None) -> None:
    value = st.session_state[name]
    words = list(value) if isinstance(value, list | tuple) else [value]
    put(**{name: [] if value == default or value is None else words})
    if then is not None:
        then()


# ---- The selected and the pinned designs


def picks() -> tuple[str, ...]:
    """Return the tokens of the selected designs, in the order of their selection."""
    return get("pick")[:MOST_SELECTED]


def pinned() -> tuple[str, ...]:
    """Return the tokens of the pinned designs, in the order of their pinning."""
    return get("pin")[:MOST_PINNED]


def compared() -> tuple[str, ...]:
    """Return the tokens of what the Compare page compares: the pinned designs, then the selected ones."""
    return tuple(dict.fromkeys([*pinned(), *picks()]))


def select(tokens: Iterable[object], *, add: bool = False) -> None:
    """Select designs in place of those selected before, or besides them."""
    before = picks() if add else ()
    put(pick=list(dict.fromkeys([*before, *map(str, tokens)]))[:MOST_SELECTED])


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
