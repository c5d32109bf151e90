"""The selected designs, by the tokens of the address, and the field in which a design is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import streamlit as st

from piip_explore.dashboard import address, text
from piip_explore.dashboard.trials import Trials
from piip_explore.design import Design
from piip_explore.errors import InputError

_EXAMPLE = "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; merge=linear"


@dataclass(frozen=True)
class Chosen:
    """A selected design: its token, and the trial that it was selected as, if any."""

    token: str
    design: Design
    trial: int | None = None

    @property
    def name(self) -> str:
        """What to call it, each design of a selection differently."""
        return str(self.design) if self.trial is None else f"trial {self.trial}"


def resolve(tokens: Iterable[str], trials: Trials | None) -> tuple[list[Chosen], list[str]]:
    """Return the designs that tokens name, each once, and a sentence for each token that names none."""
    found: dict[str, Chosen] = {}
    problems = []
    for token in tokens:
        try:
            chosen = _resolve(token, trials)
            found.setdefault(chosen.name, chosen)
        except InputError as error:
            problems.append(str(error))
    return list(found.values()), problems


def _resolve(token: str, trials: Trials | None) -> Chosen:
    design = address.design_of(token)
    if design is not None:
        return Chosen(token, design)
    number = int(token)
    if trials is None or number >= len(trials.designs):
        raise InputError(f"trial {number} is not in this study")
    if trials.designs[number] is None:
        raise InputError(f"trial {number} names no design: it was not made by 'piip-explore search'")
    return Chosen(token, Design.parse(trials.designs[number]), number)


def selected(trials: Trials | None, tokens: Sequence[str]) -> list[Chosen]:
    """Return the designs of `tokens`; warn of tokens that name none, with a button to drop them."""
    found, problems = resolve(tokens, trials)
    for problem in problems:
        st.warning(text.prose(f"Selected, but not shown: {problem}."), icon=":material/error:")
    if problems:
        st.button("Remove it from the selection", on_click=_keep, args=(found,), key="drop")
    return found


def _keep(found: Sequence[Chosen]) -> None:
    tokens = {chosen.token for chosen in found}
    address.put(**{name: [token for token in address.get(name) if token in tokens] for name in ("pick", "pin")})


def select(tokens: Iterable[object], *, add: bool = False) -> bool:
    """Select designs; return whether the number of compared designs, which the menu shows, changed with it."""
    before = len(address.compared())
    address.select(tokens, add=add)
    return len(address.compared()) != before


def field(label: str, key: str, *, add: bool) -> None:
    """Draw a field for a design's text or a trial's number, which selects it; errors are shown beside the field.

    With `add` it joins the selection; otherwise it replaces it.
    """
    st.text_input(label, placeholder=_EXAMPLE, key=key, on_change=_on_written, args=(key, add))
    problem = st.session_state.get(f"_{key}_problem")
    if problem and str(st.session_state[key]).strip():
        st.error(text.prose(problem), icon=":material/error:")


def _on_written(key: str, add: bool) -> None:
    st.session_state[f"_{key}_problem"] = None
    words = str(st.session_state[key]).strip()
    if not words:
        return
    try:
        token: object = address.design_of(words) or words
    except InputError as error:
        st.session_state[f"_{key}_problem"] = str(error)  # the words stay, to be corrected
        return
    address.select([token], add=add)
    st.session_state[key] = ""
