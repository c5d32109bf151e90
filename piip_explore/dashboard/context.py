"""What every page gets: the options, the pages to link to, and the study that was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from piip_explore.dashboard import address, studies, text
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import Trials
from piip_explore.errors import InputError

if TYPE_CHECKING:
    from streamlit.navigation.page import Page


ACCOUNTINGS = ("published", "built")
"""How FLOPs may be counted; the first is the default."""


@dataclass(frozen=True)
class Context:
    """`pages` holds the pages by name, for links."""

    options: Options
    pages: dict[str, Page] = field(default_factory=dict)

    @property
    def accounting(self) -> str:
        """The FLOPs accounting chosen beside every page."""
        return next((word for word in address.get("accounting") if word in ACCOUNTINGS), ACCOUNTINGS[0])

    @property
    def sources(self) -> Mapping[str, studies.Source]:
        """All studies that may be opened, by label."""
        found: Mapping[str, studies.Source] = st.session_state["_studies"]
        return found

    @property
    def source(self) -> studies.Source | None:
        """The study that was chosen, None if there is none at all, or not the one that the address names."""
        return next((self.sources[word] for word in address.get("study") if word in self.sources), None)

    def link(self, page: str, label: str, **options: str) -> None:
        """Draw a link to another page that keeps the study, the selection and the accounting."""
        st.page_link(self.pages[page], label=label, **options)  # type: ignore[arg-type]


@contextmanager
def sentences() -> Iterator[None]:
    """Show what is wrong with the input as a sentence in place of what the block draws."""
    try:
        yield
    except InputError as error:
        st.error(text.prose(error), icon=":material/error:")


@dataclass(frozen=True)
class Pinned:
    """What this browser shows of a study until its reader asks for news."""

    live: studies.Live
    version: int
    trials: Trials


def pinned(source: studies.Source, *, refresh: bool = False) -> Pinned:
    """Return the study as this browser pinned it; the first time, or to `refresh`, as it is now.

    Raises:
        InputError: the storage cannot be read, or the study is not one of ours.
    """
    pins: dict[studies.Source, Pinned] = st.session_state.setdefault("_pins", {})
    if refresh or source not in pins:
        live = studies.open_live(source)
        pins[source] = Pinned(live, *live.trials())
    return pins[source]


@st.fragment(run_every=2.0)
def news(source: studies.Source) -> None:
    """Announce trials that came after the pinned ones; nothing is redrawn until the reader asks."""
    with sentences():
        pin = pinned(source)
        version, finished = pin.live.poll()
        if version == pin.version:
            return
        done = finished - pin.trials.finished
        if done < 0:
            fewer = f"The study has {text.count(-done, 'trial')} fewer than before: its file was replaced."
            st.warning(text.prose(fewer))
        news = text.count(done, "new trial") if done > 0 else "News"
        if st.button(f"{news}: refresh", icon=":material/refresh:"):
            pinned(source, refresh=True)
            st.rerun()


@st.cache_data(ttl=10, show_spinner=False)
def _find(options: Options) -> tuple[list[studies.Source], list[str]]:
    """Return what `studies.find` returns; a new study may take ten seconds to appear."""
    return studies.find(options)


def choose_study(context: Context) -> None:
    """Draw the choice of a study; if there is none, pages say what to do next."""
    found, problems = _find(context.options)
    st.session_state["_studies"] = {source.label: source for source in found}
    for problem in problems:
        st.error(text.prose(problem), icon=":material/error:")
    labels = [source.label for source in found]
    if labels and not address.get("study"):
        address.put(study=[_first(context.options.study, found)])
    asked = next(iter(address.get("study")), None)
    if asked is not None and asked not in labels:
        st.error(
            text.prose(
                f"There is no study '{asked}' here: it may have been renamed, or its file deleted, moved or emptied. "
                "Choose another study, or restore the file and reload."
            ),
            icon=":material/error:",
        )
    if not labels:
        return
    chosen = address.one("study", labels, then=_drop_trials)
    st.selectbox("Study", labels, placeholder="Choose a study", width=260, **chosen)


def _first(wanted: str | None, found: Sequence[studies.Source]) -> str:
    """Return the study to open where the address names none: the one the dashboard was started with, or the first."""
    for source in found:
        if source.name == wanted:
            return source.label
    if wanted is not None:
        st.warning(text.prose(f"There is no study '{wanted}' in the storage: showing '{found[0].label}'."))
    return found[0].label


def open_study(label: str) -> None:
    """Choose a study that was found just now; it is listed at the next run, which has to follow."""
    _find.clear()
    address.put(study=[label])
    _drop_trials()


def _drop_trials() -> None:
    """Drop the selected trials: in another study these numbers mean other designs."""
    address.select(token for token in address.picks() if not address.trials([token]))


_SEARCH = "piip-explore search search_spaces/demo.yaml --study mine"


def next_steps(source: studies.Source | None) -> None:
    """Say what to do next where there is no study of the reader's own yet."""
    if source is not None:
        st.info(
            "This is an example that comes with the program: a real search on two CPU cores. Start a study of your own "
            f"on the **Search** page, or with {text.command(_SEARCH)}.",
            icon=":material/info:",
        )
        return
    if st.session_state["_studies"]:
        st.info("Choose a study to see it here.", icon=":material/info:")
        return
    st.info("There is no study to show here.", icon=":material/rocket_launch:")
    st.markdown("Start one on the **Search** page, or on the command line:")
    st.code(_SEARCH, language="bash")
    st.markdown("Studies elsewhere open with `--storage`:")
    st.code("piip-explore dashboard --storage postgresql+psycopg://user@host/database", language="bash")
