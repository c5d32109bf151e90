"""Notes on trials, and the tags in them: words that begin with #. They are stored in the study where optuna-dashboard
stores its notes, so that each shows what was written in the other."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import streamlit as st

from piip_explore.dashboard import text
from piip_explore.dashboard.context import pinned
from piip_explore.dashboard.studies import Live, Source
from piip_explore.errors import InputError
from piip_explore.search.storage import Note

_TAG = re.compile(r"(?<!\S)#([\w.+-]*\w)")

_DRAFTS, _PROBLEM = "_note_drafts", "_note_problem"
"""Session state: words that were typed and not saved, by study and trial; why the last note could not be saved."""


def of(source: Source) -> dict[int, Note]:
    """Return the notes of a study, by trial; none is empty."""
    return {trial: note for trial, note in pinned(source).live.notes().items() if note.text}


def tags(words: str) -> tuple[str, ...]:
    """Return the tags in a note, each once: `good #keep #paper` has two."""
    return tuple(dict.fromkeys(_TAG.findall(words)))


def tagged(notes: Mapping[int, Note], wanted: Collection[str]) -> frozenset[int]:
    """Return the trials whose notes have all the tags that are wanted."""
    return frozenset(trial for trial, note in notes.items() if set(wanted) <= set(tags(note.text)))


def field(source: Source, trial: int) -> None:
    """Draw a trial's note, to be read and written; what was typed is kept until it is saved."""
    if source.example:
        return
    live, drafts = pinned(source).live, st.session_state.setdefault(_DRAFTS, {})
    note = live.notes().get(trial, Note())
    draft = drafts.get((source.label, trial))
    found = " ".join(f":blue-badge[{text.prose(tag)}]" for tag in tags(note.text))
    if found:
        st.markdown(found)
    with st.expander("Note", expanded=bool(note.text or draft), icon=":material/edit_note:", key="note"):
        if draft is not None and st.session_state.get(_PROBLEM):
            st.error(text.prose(st.session_state[_PROBLEM]), icon=":material/error:")
            st.code(note.text or "(empty)", language=None, wrap_lines=True)
        key = f"_note_{source.label}_{trial}_{note.version}"
        st.text_area(
            f"Note on trial {trial}; words that begin with # are tags",
            note.text if draft is None else draft,
            key=key,
            on_change=_type,
            args=(source.label, trial, key),
        )
        st.button("Save the note", key="save_note", on_click=_save, args=(live, source.label, trial, note.version, key))


def _type(label: str, trial: int, key: str) -> None:
    st.session_state[_DRAFTS][label, trial] = st.session_state[key]


def _save(live: Live, label: str, trial: int, version: int, key: str) -> None:
    words = str(st.session_state[key]).strip()
    try:
        live.write_note(trial, words, version)
    except InputError as error:
        st.session_state[_PROBLEM] = str(error)
        st.session_state[_DRAFTS][label, trial] = words
    else:
        st.session_state[_PROBLEM] = None
        st.session_state[_DRAFTS].pop((label, trial), None)
        st.rerun()  # filters and tables show notes too
