"""Studies are listed, copied between storages, renamed and deleted, by the command."""

import json
from pathlib import Path

import numpy as np
import pytest

from piip_explore import cli
from piip_explore.search import keeping, pictures
from piip_explore.search.columns import read
from piip_explore.search.storage import COMPLETE, WAITING, StudyStorage, parse, study_names
from tests.search.test_columns import make


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIIP_EXPLORE_STORAGE", raising=False)
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = 0
    try:
        cli.main(list(arguments))
    except SystemExit as stop:
        status = int(stop.code or 0)
    return (status, *capsys.readouterr())


def same(a, b) -> None:
    assert a.state.tolist() == b.state.tolist()
    assert np.array_equal(a.values, b.values, equal_nan=True)
    assert a.params.equals(b.params)
    assert a.attributes[sorted(a.attributes)].equals(b.attributes[sorted(b.attributes)])
    assert {k: v for k, v in b.record.items() if k != keeping._COPYING} == a.record


def test_a_list_names_studies_and_what_is_done(here, capsys):
    make(here / "studies/a.journal", 5, "a")
    make(here / "studies/b.journal", 3, "b", finish=False)
    Path("studies/stray.journal").write_text("no study\n")
    status, out, err = run(capsys, "studies")
    assert status == 0
    assert [line.split()[:4] for line in out.splitlines()[1:]] == [
        ["a", "5", "0", "replayed"],
        ["b", "2", "0", "replayed"],
    ]
    assert "left out: 'studies/stray.journal'" in err
    listed = json.loads(run(capsys, "studies", "--json")[1])
    assert [(one["study"], one["trials"]) for one in listed] == [("a", 5), ("b", 3)]


def test_a_copy_has_everything_and_what_runs_waits(here, capsys):
    make(here / "studies/a.journal", 5, "a", finish=False).store.leave()
    pictures.write(parse("studies/a.journal"), "a", 3, b"seen")
    status, out, err = run(capsys, "studies", "copy", "a", "--to", "other/b.journal", "--as", "b")
    assert (status, out) == (0, "copied 5 trials to study 'b' in other/b.journal\n"), err
    a, b = read("studies/a.journal", "a"), read("other/b.journal", "b")
    assert b.state.tolist() == [COMPLETE] * 4 + [WAITING]
    same(a.select(np.arange(4)), b.select(np.arange(4)))
    assert sorted(path.name for path in Path("other").iterdir()) == ["b.journal", "b.journal.files"]
    assert pictures.read(parse("other/b.journal"), "b", 3) == b"seen"
    status, _, err = run(capsys, "studies", "copy", "a", "--to", "other/b.journal", "--as", "b")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "holds a study 'b' already" in err
    assert run(capsys, "studies", "copy", "a", "--to", "other/b.journal")[0] == 0
    assert study_names("other/b.journal") == ["b", "a"]


def test_to_a_database_and_back_nothing_is_lost(here, capsys, postgres_url):
    make(here / "studies/a.journal", 6, "a")
    assert run(capsys, "studies", "copy", "a", "--to", postgres_url)[0] == 0
    assert run(capsys, "studies", "copy", "a", "--storage", postgres_url, "--to", "back.journal")[0] == 0
    same(read("studies/a.journal", "a"), read("back.journal", "a"))
    status, out, _ = run(capsys, "studies", "--storage", postgres_url)
    assert (status, out.splitlines()[1].split()[0]) == (0, "a")
    assert "not/so:secret" not in out


def test_a_copy_that_was_killed_is_made_anew(here, capsys):
    make(here / "studies/a.journal", 3, "a")
    make(here / "both.journal", 2, "other")
    half = StudyStorage("both.journal", "a", ["maximize", "minimize"])
    half.set_study_attribute(keeping._COPYING, "studies/a.journal")
    half.leave()
    assert run(capsys, "studies", "copy", "a", "--to", "both.journal")[0] == 0
    same(read("studies/a.journal", "a"), read("both.journal", "a"))
    assert len(read("both.journal", "other")) == 2


def test_rename_takes_the_file_and_what_lies_beside_it_along(here, capsys):
    make(here / "studies/a.journal", 4, "a").store.leave()
    Path("studies/a.journal.files/checkpoints").mkdir(parents=True)
    pictures.write(parse("studies/a.journal"), "a", 2, b"seen")
    before = read("studies/a.journal", "a")
    status, out, err = run(capsys, "studies", "rename", "a", "better")
    assert (status, out) == (0, "study 'a' is now 'better', in studies/better.journal\n"), err
    same(before, read("studies/better.journal", "better"))
    assert sorted(path.name for path in Path("studies").iterdir()) == ["better.journal", "better.journal.files"]
    assert pictures.read(parse("studies/better.journal"), "better", 2) == b"seen"
    assert run(capsys, "studies", "rename", "better", "a/b")[0] == 2


def test_delete_asks_and_spares_other_studies(here, capsys):
    make(here / "both.journal", 3, "a").store.leave()
    make(here / "both.journal", 2, "b").store.leave()
    for name in "ab":
        pictures.write(parse("both.journal"), name, 1, name.encode())
    status, _, err = run(capsys, "studies", "delete", "a", "--storage", "both.journal")
    assert status == 2
    assert err.strip() == "piip-explore: study 'a' has 3 trials: pass --yes to delete it"
    assert run(capsys, "studies", "delete", "a", "--storage", "both.journal", "--yes")[0] == 0
    assert study_names("both.journal") == ["b"]
    assert [pictures.read(parse("both.journal"), name, 1) for name in "ab"] == [b"", b"b"]
    assert run(capsys, "studies", "delete", "b", "--storage", "both.journal", "--yes")[0] == 0
    assert list(here.glob("both*")) == []


def test_a_study_that_a_search_runs_stays_as_it_is(here, capsys):
    study = make(here / "studies/a.journal", 3, "a", finish=False)
    for words in (["delete", "a", "--yes"], ["rename", "a", "b"]):
        status, _, err = run(capsys, "studies", *words)
        assert status == 2
        assert "a search of study 'a' runs" in err
    study.store.leave()
    assert run(capsys, "studies", "rename", "a", "b")[0] == 0


def test_a_path_is_a_path_although_the_environment_names_a_database(here, capsys, monkeypatch):
    make(here / "studies/a.journal", 4, "a")
    make(here / "other.journal", 4, "b")
    monkeypatch.setenv("PIIP_EXPLORE_STORAGE", "other.journal")
    status, out, err = run(capsys, "compare", "studies/a.journal", "b")
    assert status == 0, err
    assert out.startswith("a: 4 full runs")
    assert run(capsys, "pareto", "other.journal")[0] == 0
    status, out, _ = run(capsys, "trials", "b")
    assert status == 0
    assert len(out.splitlines()) == 5
