"""Starting, pausing and resuming searches, as the Study page draws it."""

from __future__ import annotations

from importlib.util import find_spec

import streamlit as st

from piip_explore.dashboard import context as contexts
from piip_explore.dashboard import runs, spaces, studies, text
from piip_explore.dashboard.context import Context, sentences
from piip_explore.dashboard.trials import Trials
from piip_explore.errors import InputError
from piip_explore.search.launch import DEFAULT_TRIALS
from piip_explore.search.storage import StorageURL

_STARTED, _PAUSING = "_started", "_pausing"
"""Session state: the search that this browser started last and does not show yet; the process it asked to stop."""

_SUITABLE = "what suits space and device"


def draw(context: Context, source: studies.Source, trials: Trials, held: frozenset[str]) -> None:
    """Draw whether a study's search runs, and what can be done about it; `held` are the leases of live searches."""
    if source.example:
        st.info("This is the example that comes with the program. Start a study of your own below.")
        return
    now = runs.running(source.storage, source.name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if now is None and held:
            _elsewhere(trials, held)
        elif now is None:
            _resume(context, source, trials)
        elif st.session_state.get(_PAUSING) == now.pid:
            st.markdown(":material/hourglass_top: pausing: running evaluations are put back at their next step")
        else:
            st.markdown(f":green-badge[:material/play_arrow: running], started from this page as process {now.pid}")
            st.button("Pause", icon=":material/pause:", on_click=_pause, args=(now,), key="pause")
    _printed(source.storage, source.name, ended=now is None)


def _elsewhere(trials: Trials, held: frozenset[str]) -> None:
    """Say where a search runs that no page started here: it is paused where it was started."""
    workers = [worker for worker in trials.workers if worker.get("lease") in held]
    hosts = ", ".join(dict.fromkeys(text.code(worker.get("host", "?")) for worker in workers))
    st.markdown(
        f":green-badge[:material/play_arrow: running] on {hosts}, not started from this page: Ctrl-C pauses it there."
    )


def _printed(storage: StorageURL, study: str, *, ended: bool) -> None:
    """Draw what a search that a page started has printed; why it failed, if it did."""
    printed = runs.log(storage, study)
    if not printed:
        return
    last = printed.splitlines()[-1]
    if ended and last.startswith(_FAILED):
        st.error(text.prose(last.removeprefix(_FAILED)), icon=":material/error:")
    with st.expander("What the search printed"):
        st.code(printed, language=None)


_FAILED = "piip-explore: "
"""How the command line begins the sentence that says why it failed."""


def _pause(run: runs.StartedSearch) -> None:
    runs.pause(run)
    st.session_state[_PAUSING] = run.pid


def _resume(context: Context, source: studies.Source, trials: Trials) -> None:
    name = str(trials.record.space.get("name", ""))
    path = spaces.files(context.options.spaces).get(name)
    if path is None:
        st.caption(
            text.prose(f"To resume this study, open the dashboard with the folder of its space '{name}' (--spaces).")
        )
        return
    before = runs.last(source.storage, source.name)
    least = max(before.trials if before else DEFAULT_TRIALS, trials.finished)
    goal = st.number_input("Designs in all", 1, 1_000_000, least, key="goal", width=180)
    if st.button("Resume", icon=":material/play_arrow:", key="resume"):
        workers, executor = (before.workers, before.executor) if before else (None, None)
        wanted = runs.Wanted(source.name, str(path), int(goal), workers, executor=executor)
        with sentences():
            runs.start(source.storage, wanted)
            st.rerun(scope="fragment")


def new(context: Context) -> None:
    """Draw the fields of a new study, and the button that starts its search."""
    from piip_explore.preset_names import PRESETS
    from piip_explore.search.task_choice import task_of
    from piip_explore.space import SearchSpace

    found = spaces.files(context.options.spaces)
    if not found:
        st.caption(f"There are no space files: open the dashboard with {text.command('--spaces FOLDER')}.")
        return
    left, middle, right = st.columns(3)
    name = left.text_input("Name", placeholder="mine", key="new_name")
    first = list(found).index("demo") if "demo" in found else 0
    space = middle.selectbox("Space", list(found), index=first, key="new_space")
    loaded = SearchSpace.load(found[space])
    named, task = loaded.proxy.get("preset", _SUITABLE), task_of(loaded)
    presets = list(dict.fromkeys([_SUITABLE, named, *(name for name in PRESETS if PRESETS[name].task == task)]))
    preset = right.selectbox("Proxy preset", presets, index=presets.index(named), key=f"new_preset_{space}")
    budget = int(loaded.proxy.get("budget") or DEFAULT_TRIALS)
    trials = left.number_input("Designs to evaluate", 1, 1_000_000, budget, key=f"new_trials_{space}")
    workers = middle.number_input("Workers (0: as many as suit this machine)", 0, 64, 0, key="new_workers")
    executor = None
    if find_spec("ray") is not None:
        executor = right.selectbox("Executor", ["local", "ray"], key="new_executor", help="What runs the workers.")
    st.caption(text.prose(f"{loaded.size:,} designs. {loaded.description}"))
    if st.button("Start", icon=":material/rocket_launch:", type="primary", key="start"):
        with sentences():
            asked = None if preset == _SUITABLE else preset
            wanted = runs.Wanted(name.strip(), str(found[space]), int(trials), int(workers) or None, asked, executor)
            _start(context, wanted)


def _start(context: Context, wanted: runs.Wanted) -> None:
    storage = runs.storage_of(context.options, wanted.study)
    if any(source.name == wanted.study and not source.example for source in context.sources.values()):
        raise InputError(f"there is a study '{wanted.study}' already: choose another name, or resume that one")
    runs.start(storage, wanted)
    st.session_state[_STARTED] = (storage, wanted.study)
    st.rerun()


def starting(context: Context) -> None:
    """Follow a search that this browser started until its study is there, and open that."""
    if st.session_state.get(_STARTED):
        _follow(context)


@st.fragment(run_every=1.0)
def _follow(context: Context) -> None:
    if not st.session_state.get(_STARTED):
        return
    storage, study = st.session_state[_STARTED]
    found, _ = studies.find(context.options)
    for source in found:
        if (source.storage, source.name) == (storage, study) and _readable(source):
            st.session_state[_STARTED] = None
            contexts.open_study(source.label)
            st.rerun()
    if runs.running(storage, study) is not None:
        st.info(f"The search of {text.code(study)} is starting.", icon=":material/hourglass_top:")
        return
    st.error(f"The search of {text.code(study)} ended before it began.", icon=":material/error:")
    _printed(storage, study, ended=True)
    st.button("Close", on_click=st.session_state.update, args=({_STARTED: None},), key="close")


def _readable(source: studies.Source) -> bool:
    """Whether a study can be shown: a search creates it first and then writes its record."""
    try:
        studies.open_live(source).trials()
    except InputError:
        return False
    return True
