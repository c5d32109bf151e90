"""Notes and tags: written on a page, kept in the study, filtered for, and never lost to somebody else's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from piip_explore.dashboard import notes
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.server.application import MAIN
from piip_explore.search.storage import Note, StudyStorage
from tests.dashboard import synthetic
from tests.dashboard.conftest import PATIENCE


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "studies" / "demo.journal"
    synthetic.write(path, "demo", 30)
    return path


@pytest.fixture
def opened(journal: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    def start(**address: Any) -> AppTest:
        options = Options((str(journal.parent),), None, journal.parent / "none", (journal.parent / "none",))
        monkeypatch.setattr(sys, "argv", ["main.py", *options.arguments()])
        app = AppTest.from_file(str(MAIN), default_timeout=PATIENCE)
        app.query_params.update(address)
        app.session_state["_tables_seen"] = True
        return app.run()

    return start


def test_a_note_is_saved_in_the_study_and_its_tags_are_filtered_for(
    opened: Callable[..., AppTest], journal: Path
) -> None:
    app = opened(pick="3")
    app.text_area[0].set_value("as good as 5 #keep #paper-2").run()
    app.button(key="save_note").click().run()
    assert not app.exception
    assert StudyStorage(journal, "demo").notes() == {3: Note("as good as 5 #keep #paper-2", 1)}
    assert any("keep" in one.value and "paper" in one.value for one in app.markdown)
    app.multiselect(key="tags").set_value(["keep"]).run()
    assert app.query_params["tags"] in ("keep", ["keep"])
    table = next(one.value for one in app.dataframe if "note" in one.value)
    assert table["trial"].tolist() == [3]
    assert table["note"].tolist() == ["as good as 5 #keep #paper-2"]


def test_somebody_elses_note_is_shown_and_mine_stays_to_be_saved(opened: Callable[..., AppTest], journal: Path) -> None:
    app = opened(pick="3")
    app.text_area[0].set_value("mine").run()
    StudyStorage(journal, "demo").write_note(3, "theirs", 0)
    app.button(key="save_note").click().run()
    assert not app.exception
    assert any("changed by somebody else" in one.value.replace("\\", "") for one in app.error)
    assert any(one.value == "theirs" for one in app.code)
    assert app.text_area[0].value == "mine"
    assert StudyStorage(journal, "demo").notes() == {3: Note("theirs", 1)}
    app.button(key="save_note").click().run()
    assert not app.error
    assert StudyStorage(journal, "demo").notes() == {3: Note("mine", 2)}


@pytest.mark.parametrize(
    ("words", "found"),
    [("#a b #c.d-e", ("a", "c.d-e")), ("C# and x#y", ()), ("# heading", ()), ("#a #a, #b.", ("a", "b")), ("", ())],
)
def test_tags_are_words_that_begin_with_a_hash(words: str, found: tuple[str, ...]) -> None:
    assert notes.tags(words) == found


def test_a_trial_has_all_the_tags_that_are_wanted() -> None:
    written = {1: Note("#a #b", 1), 2: Note("#a", 1), 5: Note("none", 3)}
    assert notes.tagged(written, ["a"]) == {1, 2}
    assert notes.tagged(written, ["a", "b"]) == {1}
