from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from piip_explore.dashboard import options, studies
from piip_explore.dashboard.options import Options
from piip_explore.search.storage import StudyStorage
from tests.dashboard import synthetic


def append(path: Path, *lines: dict[str, object]) -> None:
    with path.open("a") as file:
        file.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def test_studies_of_a_folder_are_found_and_named_apart(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "a.journal", "one", 5)
    synthetic.write(tmp_path / "b.journal", "one", 5)
    synthetic.write(tmp_path / "c.journal", "two", 5)
    found, problems = studies.find(Options((str(tmp_path),)))
    assert not problems
    assert [source.label for source in found] == ["one (a.journal)", "one (b.journal)", "two"]


def test_created_and_deleted_studies_are_noticed_in_a_growing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    synthetic.write(path, "one", 3)

    def names() -> list[str]:
        return [source.name for source in studies.find(Options((str(path),)))[0]]

    assert names() == ["one"]
    append(path, {"op_code": 0, "worker_id": "w", "study_name": "two", "directions": [2, 1]})
    assert names() == ["one", "two"]
    append(path, {"op_code": 1, "worker_id": "w", "study_id": 0})
    assert names() == ["two"]
    synthetic.write(path, "anew", 2)
    assert names() == ["anew"]


def test_a_study_name_inside_an_attribute_is_no_study(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    synthetic.write(path, "one", 3, attributes={"note": '{"op_code":0,"study_name":"fake"}'})
    assert [source.name for source in studies.find(Options((str(path),)))[0]] == ["one"]


def test_a_missing_storage_is_a_sentence_and_the_default_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, problems = studies.find(Options((str(tmp_path / "nowhere.journal"),)))
    assert len(problems) == 1
    assert "nowhere.journal" in problems[0]
    assert studies.find(Options())[1] == []


def test_a_poll_finds_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    synthetic.write(path, "one", 19)
    live = studies.open_live(studies.find(Options((str(path),)))[0][0])
    version, trials = live.trials()
    assert live.poll() == (version, 19)
    line = synthetic.trial_line(19, synthetic.space().design(7), np.random.default_rng(0))
    append(path, line)
    changed, finished = live.poll()
    assert changed != version
    assert finished == 20
    assert len(live.trials()[1]) == 20
    assert len(trials) == 19, "what a browser shows does not change under its hand"


def test_a_file_that_a_search_has_only_made_is_no_problem(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "a.journal", "one", 3)
    (tmp_path / "b.journal").touch()
    found, problems = studies.find(Options((str(tmp_path),)))
    assert [source.name for source in found] == ["one"]
    assert not problems


def test_a_lease_is_held_until_its_search_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    synthetic.write(path, "one", 3)
    live = studies.open_live(studies.find(Options((str(path),)))[0][0])
    search = StudyStorage(path, "one")
    search.join("alive")
    assert live.held(["alive", "killed", "alive"]) == {"alive"}
    search.leave()
    assert live.held(["alive", "killed"]) == set()


def test_options_travel_through_the_command_line() -> None:
    given = Options(("a", "sqlite:///b.db"), "mine", Path("s"), (Path("r"), Path("q")))
    assert options.parse(given.arguments()) == given
    assert options.parse([]) == Options()


def test_the_example_is_a_whole_study_shown_where_there_is_no_other(tmp_path: Path) -> None:
    (source,), problems = studies.find(Options((str(tmp_path),)))
    assert source.example
    assert not problems
    trials = studies.open_live(source).trials()[1]
    assert trials.scored.sum() >= 20
    assert trials.record.evaluator["kind"] == "proxy"
    found, problems = studies.find(Options((str(tmp_path / "missing.journal"),)))
    assert found == []
    assert problems


def test_a_stray_file_is_named_and_hides_no_study(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "good.journal", "one", 3)
    (tmp_path / "._good.journal").write_bytes(b"\0\5\x16\7" + b"\0" * 200)  # as macOS leaves beside copied files
    (tmp_path / "notes.journal").write_text("dear diary\n")
    (tmp_path / "folder.journal").mkdir()
    (tmp_path / "gone.journal").symlink_to(tmp_path / "nowhere")
    found, problems = studies.find(Options((str(tmp_path),)))
    assert [source.label for source in found] == ["one"]
    assert [next(name for name in ("folder", "gone", "notes") if name in problem) for problem in problems] == [
        "folder",
        "gone",
        "notes",
    ]
