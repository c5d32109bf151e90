"""What commands print of studies, run as processes: output one would show a colleague, and studies as things."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import piip_explore.dashboard
from piip_explore.search.columns import read
from piip_explore.search.evaluators import Place
from piip_explore.search.launch import Request
from piip_explore.search.storage import study_names
from piip_explore.testing.synthetic import evaluator
from tests.commands import Answer, run_all
from tests.search.replayed import replayed_pool, start

pytestmark = pytest.mark.slow

EXAMPLE = Path(piip_explore.dashboard.__file__).parent / "example" / "demo.journal"

COMMANDS = {
    "list": "studies",
    "front": "pareto many",
    "knee": "show knee demo",
    "trial": "show 3 demo",
    "prefix": "show PREFIX demo",
    "export": "export --trial knee --study demo --target native --data coco:. --out best",
    "trials": "trials many",
    "compare": "compare many few",
    "unequal": "compare many demo",
    "path": "compare studies/many.journal few --json",
    "copy": "studies copy few --to elsewhere/copy.journal",
    "rename": "studies rename few fewer",
    "refused": "studies rename fewer a/b",
    "delete": "studies delete many",
    "delete really": "studies delete many --yes",
    "list again": "studies --json",
}


def study(folder: Path, name: str, trials: int) -> None:
    scores = evaluator(replayed_pool(), noise=3.0)
    path = folder / "studies" / f"{name}.journal"
    made = start(replayed_pool(), scores, str(path), name, Request(trials=trials, sampler="random")).study
    while (task := made.next(Place("cpu"))) is not None:
        made.complete(task, scores.evaluate(task, lambda share: None))
    made.store.leave()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    study(folder, "many", 60)
    study(folder, "few", 40)
    shutil.copy(EXAMPLE, folder / "studies")
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, Answer]:
    prefix = read(folder / "studies/demo.journal", "demo").attributes["id"][3][:7]
    lines = [line.replace("PREFIX", prefix).split() for line in COMMANDS.values()]
    return dict(zip(COMMANDS, run_all(lines, folder, environment={"PIIP_EXPLORE_STORAGE": "studies"}), strict=True))


def test_every_command_answers(said: dict[str, Answer]) -> None:
    refused = {name: answer.err for name, answer in said.items() if answer.status}
    assert set(refused) == {"refused", "delete"}
    assert refused["refused"].startswith("piip-explore: study name 'a/b': expected up to")
    assert refused["delete"] == "piip-explore: study 'many' has 60 trials: pass --yes to delete it\n"


def test_many_ties_do_not_push_designs_off_the_screen(said: dict[str, Answer]) -> None:
    head, *rows, _ = said["front"].out.splitlines()
    assert re.search(r"ties \d+,\d+,\d+ \+\d+ ", said["front"].out)
    column = head.index("design")
    assert column < 60
    assert all(row[column - 1] == " " and row[column:].startswith("vit_") for row in rows)


def test_a_trial_is_shown_as_people_write(said: dict[str, Answer]) -> None:
    for shown in (said["knee"].out, said["trial"].out):
        assert not re.search(r"\{|\d[eE][+-]\d\d|\b(bytes|us|None|nan|True|False)\b", shown), shown
        assert re.search(
            r"GFLOPs as published, .* as built\n  parameters +[\d.]+ M\n  run +[\d.]+ s, .* [\d,]+ MiB\n", shown
        )
    assert said["prefix"].out == said["trial"].out


def test_a_name_stands_for_a_trial_in_exports_too(said: dict[str, Answer], folder: Path) -> None:
    (number,) = re.findall(r"^trial (\d+) \(complete, on the front\)", said["knee"].out)
    design = read(folder / "studies/demo.journal", "demo").attributes["design"][int(number)]
    assert said["export"].out == "wrote best/design.yaml\n"
    assert design in (folder / "best/design.yaml").read_text()


def test_a_comparison_keeps_every_design_of_the_fronts_and_compares_what_compares(said: dict[str, Answer]) -> None:
    table = json.loads(said["path"].out)["attainment"]
    assert len(table) > 8
    for name in ("compare", "unequal"):
        rows = said[name].out.split("gflops  score 1:")[1].splitlines()[1:]
        assert len(rows) >= len(table)
    assert "(hypervolume is measured from the worst of all runs: score " in said["compare"].out
    assert said["unequal"].out.startswith("The scores do not compare, and so neither do hypervolumes: ")
    assert "%" not in said["unequal"].out


def test_all_trials_are_listed(said: dict[str, Answer]) -> None:
    assert [line.split()[0] for line in said["trials"].out.splitlines()[1:]] == [str(n) for n in range(60)]


def test_studies_are_things(said: dict[str, Answer], folder: Path) -> None:
    assert [line.split()[:3] for line in said["list"].out.splitlines()[1:]] == [
        ["demo", "24", "0"],
        ["few", "40", "0"],
        ["many", "60", "0"],
    ]
    assert said["copy"].out == "copied 40 trials to study 'few' in elsewhere/copy.journal\n"
    assert study_names(str(folder / "elsewhere/copy.journal")) == ["few"]
    assert said["rename"].out == "study 'few' is now 'fewer', in studies/fewer.journal\n"
    assert said["delete really"].out == "deleted study 'many' (60 trials) from studies/many.journal\n"
    left = json.loads(said["list again"].out)
    assert [(one["study"], one["trials"]) for one in left] == [("demo", 24), ("fewer", 40)]
    assert sorted(path.name for path in (folder / "studies").glob("*.journal")) == ["demo.journal", "fewer.journal"]
