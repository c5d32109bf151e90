from __future__ import annotations

import os
from pathlib import Path

import pytest

from piip_explore.dashboard import runs
from piip_explore.dashboard.options import Options
from piip_explore.errors import InputError
from piip_explore.search.storage import parse
from tests.dashboard.conftest import PATIENCE


@pytest.mark.parametrize("name", ["", "../etc", "a/b", ".hidden", "a b", "-x", "x" * 65, "<b>", "a\n"])
def test_a_study_name_is_no_path(name: str) -> None:
    with pytest.raises(InputError, match="study name"):
        runs.storage_of(Options(), name)


def test_a_new_study_goes_into_the_first_storage(tmp_path: Path) -> None:
    assert runs.storage_of(Options((str(tmp_path), "other")), "mine").path == tmp_path / "mine.journal"
    assert runs.storage_of(Options(("postgresql://host/db",)), "mine").path is None
    assert runs.storage_of(Options(("one.journal",)), "mine").path == Path("one.journal")


def test_a_process_with_a_reused_number_is_not_ours(tmp_path: Path) -> None:
    storage = parse(tmp_path / "mine.journal")
    folder = tmp_path / "mine.journal.files" / "searches" / "mine"
    folder.mkdir(parents=True)
    note = folder / "search.json"
    note.write_text(
        f'{{"pid": {os.getpid()}, "began": "1", "study": "mine", "space": "s", "trials": 1, "workers": null}}'
    )
    assert runs.last(storage, "mine") is not None
    assert runs.running(storage, "mine") is None
    runs.pause(runs.last(storage, "mine"))  # must not reach this process
    note.write_text("torn {")
    assert runs.last(storage, "mine") is None


def test_a_search_is_asked_for_what_is_wanted() -> None:
    wanted = runs.Wanted("mine", "space.yaml", 12, 3, "--help", "ray")
    assert wanted.command()[3:] == [
        "search",
        "space.yaml",
        "--study=mine",
        "--trials=12",
        "--workers=3",
        "--preset=--help",
        "--executor=ray",
    ]
    assert not [
        word
        for word in runs.Wanted("mine", "space.yaml", 12).command()
        if word.startswith(("--workers", "--preset", "--executor"))
    ]


def test_a_study_without_a_folder_to_write_to_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.journal.files").write_text("a file where the folder would be")
    with pytest.raises(InputError, match="cannot write to"):
        runs.start(parse(tmp_path / "mine.journal"), runs.Wanted("mine", "space.yaml", 1))


def test_a_search_that_ends_at_once_leaves_its_sentence_in_the_log(tmp_path: Path) -> None:
    storage = parse(tmp_path / "mine.journal")
    space = tmp_path / "none.yaml"
    run = runs.start(storage, runs.Wanted("mine", str(space), 1))
    child = runs._STARTED[run.pid]
    assert child.wait(PATIENCE) == 2
    assert runs.running(storage, "mine") is None
    assert "none.yaml" in runs.log(storage, "mine")


def test_the_log_hides_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = parse("postgresql+psycopg://someone:hunter2@127.0.0.1/none")
    folder = Path("studies") / "mine.files" / "searches" / "mine"
    folder.mkdir(parents=True)
    (folder / "search.log").write_text("cannot open postgresql+psycopg://someone:hunter2@127.0.0.1/none\n")
    assert "hunter2" not in runs.log(storage, "mine")
    assert "127.0.0.1" in runs.log(storage, "mine")
