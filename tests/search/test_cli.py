"""The commands, through the program's front door."""

import json
import math
import os
import re
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from piip_explore import cli
from piip_explore.design import Design
from piip_explore.predict import expect
from piip_explore.search import report, session
from piip_explore.search.columns import read
from piip_explore.search.evaluators import Outcome
from tests.commands import run_all
from tests.search import toy
from tests.search.replayed import replayed_pool
from tests.search.test_columns import make

TINY = """
name: tiny
pool:
  models: ["vit[depth=6,dim=96,heads=3]", vit_tiny]
  branches: [2]
  resolutions: [112, 224]
interactions: [3]
constraints: {parameter_inverted: yes}
proxy: {preset: tiny-for-tests}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = 0
    try:
        cli.main(list(arguments))
    except SystemExit as error:
        status = int(error.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_pareto_show_compare_and_importance(here, capsys):
    make(here / "studies" / "a.journal", 30, "a")
    make(here / "studies" / "b.journal", 30, "b", seed=1)
    status, out, _ = run(capsys, "pareto", "a")
    assert status == 0
    assert "knee" in out
    status, out, _ = run(capsys, "pareto", "--storage", "studies/a.journal", "--json")
    front = json.loads(out)["front"]
    assert front[0]["gflops"] < front[-1]["gflops"]
    status, out, _ = run(capsys, "pareto", "a", "--max-gflops", str(front[0]["gflops"]), "--json")
    assert [row["design"] for row in json.loads(out)["front"]] == [front[0]["design"]]
    status, out, _ = run(capsys, "show", str(front[0]["trial"]), "a", "--json")
    assert json.loads(out)[0]["attributes"]["design"] == front[0]["design"]
    assert json.loads(out)[0]["on_front"] is True
    status, out, _ = run(capsys, "compare", "a", "b")
    assert status == 0
    assert "The scores do not compare, and so neither do hypervolumes: seed: 0 / 1" in out
    assert out.count("hypervolume") == 1
    make(here / "studies" / "c.journal", 12, "c")
    out = run(capsys, "compare", "a", "c")[1]
    assert re.search(r"^a: 30 full runs, hypervolume [\d.]+ \(\d+\.\d% of both together\)", out)
    assert re.search(r"measured from the worst of all runs: score [\d.]+, gflops [\d.]+", out)
    status, out, _ = run(capsys, "importance", "a", "--json")
    assert {row["axis"] for row in json.loads(out)["importance"]} <= {axis.name for axis in replayed_pool().axes}


def test_what_is_expected_stands_beside_the_front(here, capsys):
    make(here / "studies" / "a.journal", 12, "a")
    status, out, _ = run(capsys, "pareto", "a", "--expect", "box_ap", "--json")
    answer = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    assert status == 0
    assert answer["expected_metric"] == "box_ap"
    for row in answer["front"]:
        found = expect(Design.parse(row["design"]))
        assert row["expected"] == (pytest.approx(found.mean) if not found.unlike else None)
    assert "not measured" in run(capsys, "pareto", "a", "--expect", "box_ap")[1]
    assert run(capsys, "pareto", "a", "--expect", "box_ap", "--all-trials", "--out", "all.csv")[0] == 0
    assert "expected_low" in Path("all.csv").read_text().splitlines()[0]
    assert run(capsys, "pareto", "a", "--expect", "box_ap", "--history", "--out", "h.csv")[0] == 2
    assert run(capsys, "pareto", "a", "--expect", "map")[0] == 2


def test_results_are_written_once(here, capsys):
    make(here / "studies" / "a.journal", 12, "a")
    for arguments in (
        ["--out", "front.csv"],
        ["--out", "all.parquet", "--all-trials"],
        ["--out", "h.json", "--history"],
    ):
        assert run(capsys, "pareto", "a", *arguments)[0] == 0
        status, _, err = run(capsys, "pareto", "a", *arguments)
        assert status == 2
        assert "exists" in err


@pytest.mark.parametrize("rows", [["--out", "all.csv", "--all-trials"], ["--out", "h.csv", "--history"]])
def test_rows_that_are_not_the_front_s_do_without_it(here, capsys, monkeypatch, rows):
    make(here / "studies" / "a.journal", 12, "a")
    monkeypatch.setattr(report, "front_table", lambda *_: pytest.fail("makes the front's table"))
    assert run(capsys, "pareto", "a", *rows)[0] == 0


def test_a_table_that_cannot_be_written_leaves_the_one_that_was_there(here, capsys):
    make(here / "studies" / "a.journal", 12, "a")
    assert run(capsys, "pareto", "a", "--out", "front.csv")[0] == 0
    before, soft = Path("front.csv").read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - 1, soft[1]))
        status, _, err = run(capsys, "pareto", "a", "--out", "front.csv", "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, soft)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (status, Path("front.csv").read_bytes()) == (2, before)
    assert "cannot write 'front.csv': File too large" in err
    assert sorted(path.name for path in here.iterdir()) == ["front.csv", "studies"]


def test_escape_sequences_of_a_study_do_not_reach_the_terminal(here, capsys):
    make(here / "studies" / "a.journal", 12, "a")
    path = here / "studies" / "a.journal"
    path.write_text(path.read_text().replace('"design":"', '"design":"\\u001b]0;owned\\u0007'))
    for command in (["pareto", "a"], ["show", "3", "a"], ["show", "\33[31m", "a"], ["pareto", "\33[2J"]):
        _, out, err = run(capsys, *command)
        assert "\33" not in out + err
        assert r"\x1b" in out + err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pareto", "nope"], "there is no study file 'studies/nope.journal'"),
        (["pareto"], "name the study, or its storage with --storage (in studies: a, b)"),
        (["pareto", "--storage", "studies/a.journal", "x"], "studies/a.journal holds no study 'x': it holds a"),
        (
            ["pareto", "--storage", "garbage"],
            "'garbage' is not a readable study file (line 1 is not an Optuna journal line)",
        ),
        (["pareto", "--storage", "."], "name the study, or its storage with --storage (in .: none here)"),
        (["pareto", "--storage", "mysql://u:secret@h/d"], "storage 'mysql://' is not supported"),
        (["pareto", "a", "--max-gflops", "nan"], "--max-gflops nan: expected a number above 0"),
        (["pareto", "a", "--history"], "--history need --out FILE"),
        (["show", "999", "a"], "study 'a' has no trial 999"),
        (["show", "vit_tony@224", "a"], "unknown model 'vit_tony'"),
        (["compare", "a", "nope"], "there is no study file"),
        (["importance", "b"], "importance needs 12 full runs or more"),
        (["search", "nope.yaml"], "cannot read the space 'nope.yaml'"),
        (["search", "tiny.yaml", "--sampler", "best"], "unknown sampler 'best'"),
        (["search", "tiny.yaml", "--objectives", "score,speed"], "unknown objective 'speed'"),
        (["search", "tiny.yaml", "--objectives", "gflops,params"], "needs the objective 'score'"),
        (["search", "tiny.yaml", "--objectives", "score,memory"], "the objective 'memory' needs a GPU"),
        (["search", "tiny.yaml", "--rungs", "1/3,1/9"], "expected rising shares of a full run that end with 1"),
        (["search", "tiny.yaml", "--rungs", "0,1"], "take a preset that has supernets (cpu-supernet, gpu-supernet)"),
        (["search", "tiny.yaml", "--rungs", "a"], "expected shares of a full run"),
        (["search", "tiny.yaml", "--devices", "tpu"], "unknown device 'tpu'"),
        (["search", "tiny.yaml", "--devices", "cuda:99"], "device 'cuda:99' is not available"),
        (["search", "tiny.yaml", "--max-gflops", "0.001"], "no design of 'tiny' fits the limits"),
        (["search", "tiny.yaml", "--storage", "garbage"], "'garbage' is not a readable study file"),
        (["search", "tiny.yaml", "--preset", "nope"], "unknown preset 'nope'"),
        (["search", "tiny.yaml", "--study", "../../x"], "study name '../../x': expected up to 200"),
        (["search", "tiny.yaml", "--study", "x\33[2J"], r"study name 'x\x1b[2J': expected up to 200"),
        (["search", "tiny.yaml", "--storage", "sqlite:///s.db"], "SQLite holds no studies"),
        (["search", "tiny.yaml", "--evaluator", "nope"], "unknown evaluator 'nope'"),
        (["search", "tiny.yaml", "--evaluator-command", "train {confg}"], "unknown field {confg}"),
        (["search", "tiny.yaml", "--evaluator-command", "x", "--preset", "demo"], "give one of --preset, --evaluator"),
        (["search", "tiny.yaml", "--metric", "mAP"], "need --evaluator-command"),
        (["retry", "a", "--trial", "3"], "trial 3 (COMPLETE) is not given up: those of these trials are: none"),
        (["search", "tiny.yaml", "--trials", "0"], "'--trials'"),
        (["search", "tiny.yaml", "--seed", "-1"], "'--seed'"),
        (["search", "tiny.yaml", "--max-gflops", "nan"], "'--max-gflops': 'nan': expected a number above 0"),
        (["search", "tiny.yaml", "--max-params", "-5"], "'--max-params': '-5': expected a number above 0"),
        (["search", "tiny.yaml", "--objectives", ""], "'--objectives': '': expected names with a comma between them"),
        (["search", "tiny.yaml", "--devices", "cpu,"], "'--devices': 'cpu,': expected names"),
        (["search", "tiny.yaml", "--storage", "garbage/x.journal"], "cannot write the study file 'garbage/x.journal'"),
    ],
)
def test_bad_input_is_one_clear_line_and_changes_nothing(here, capsys, arguments, sentence):
    make(here / "studies" / "a.journal", 12, "a")
    make(here / "studies" / "b.journal", 4, "b")
    Path("garbage").write_text("not a study\n")
    Path("tiny.yaml").write_text(TINY.replace("tiny-for-tests", "demo"))
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert "secret" not in err
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_real_search_on_the_cpu(here):
    Path("tiny.yaml").write_text(TINY.replace("tiny-for-tests", "demo"))
    search = ["search", "tiny.yaml", "--trials", "1", "--workers", "1", "--devices", "cpu", "--json"]
    environment = toy.environment(here)
    (done,) = run_all([search], here, environment=environment)
    assert done.status == 0, done.err
    result = json.loads(done.out)
    assert result["trials"]["complete"] == 1
    assert result["record"]["evaluator"]["preset"] == "demo"
    assert "Sampler: exhaustive (the budget covers every design of the space (1))" in done.err
    assert "Dashboard: piip-explore dashboard --storage studies/tiny.journal" in done.err
    before = Path("studies/tiny.journal").read_bytes()
    assert run_all([search], here, environment=environment)[0].status == 0
    assert Path("studies/tiny.journal").read_bytes() == before, "a finished study is not touched"


SCORE = """
import json, sys
config, out = sys.argv[1:]
with open(out + "/metrics.json", "w") as file:
    json.dump({"size": len(open(config).read())}, file)
"""


@pytest.mark.slow
def test_a_search_that_scores_with_a_command_and_one_with_a_module(here, capsys):
    Path("tiny.yaml").write_text(TINY.replace("tiny-for-tests", "demo"))
    Path("score.py").write_text(SCORE)
    command = f"{sys.executable} score.py {{config}} {{out}}"
    arguments = ["search", "tiny.yaml", "--workers", "1", "--devices", "cpu", "--json"]
    status, out, err = run(capsys, *arguments, "--evaluator-command", command, "--metric", "size")
    assert status == 0, err
    result = json.loads(out)
    assert result["record"]["evaluator"]["kind"] == "command"
    assert result["front"][0]["score"] > 100
    status, out, err = run(capsys, *arguments, "--evaluator", "tests.search.own:Length", "--study", "own")
    assert status == 0, err
    assert json.loads(out)["record"]["evaluator"]["kind"] == "length"


@pytest.mark.slow
def test_a_search_whose_first_rung_is_untuned(here, capsys, monkeypatch):
    """The supernet is trained by one of two workers while the other waits; then every design is judged by its part."""
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(here / "cache"))
    Path("tiny.yaml").write_text(
        TINY.replace("tiny-for-tests", "demo").replace("[112, 224]", "[448, 896]").replace("[3]", "[0, 1, 2, 3]")
    )
    arguments = ["search", "tiny.yaml", "--rungs", "0,1/4,1", "--devices", "cpu", "--workers", "2", "--json"]
    status, _, err = run(capsys, *arguments, "--evaluator", "benchmarks.stopping:quick", "--trials", "4")
    assert status == 0, err
    assert "Rungs: untuned, 0.25, 1 of a full run" in err
    found = read("studies/tiny.journal", "tiny")
    assert sorted(found.fidelity) == [0, 0, 0, 0, 0.25, 1]
    assert np.isfinite(found.values[:, 0]).all()
    assert len(list((here / "cache" / "supernets").glob("*.weights"))) == 1
    assert run(capsys, *arguments, "--evaluator", "tests.search.own:Length", "--study", "b")[0] == 2


def test_what_libraries_print_during_a_search_is_not_in_its_json(here, capsys, monkeypatch):
    search = session.run

    def noisy(*arguments):
        print("(raylet) a node has died")
        return search(*arguments)

    monkeypatch.setattr(session, "run", noisy)
    Path("tiny.yaml").write_text(TINY.replace("tiny-for-tests", "demo"))
    arguments = ["search", "tiny.yaml", "--workers", "1", "--devices", "cpu", "--json"]
    status, out, err = run(capsys, *arguments, "--evaluator", "tests.search.own:Length")
    assert status == 0, err
    assert json.loads(out)["trials"]["complete"] == 1
    assert "a node has died" in err


def test_a_dry_run_says_what_is_left_and_writes_nothing(here, capsys):
    Path("tiny.yaml").write_text(TINY.replace("tiny-for-tests", "demo"))
    arguments = ["search", "tiny.yaml", "--dry-run", "--trials", "2", "--devices", "cpu"]
    arguments += ["--evaluator", "tests.search.own:Length"]
    status, out, err = run(capsys, *arguments, "--rungs", "1/2,1")
    assert status == 0, err
    assert "Study 'tiny' in studies/tiny.journal: 1 of 1 designs" in out
    assert "At 0.5 of a full run: 1 planned, 0 done" in out
    assert "Left to do: as much as 1.5 full runs" in out
    assert os.listdir() == ["tiny.yaml"]


def test_retry_says_what_it_queues(here, capsys):
    study = make(here / "studies" / "a.journal", 3, "a", finish=False)
    study.complete(next(iter(study.books.claimed)), Outcome("diverged", math.nan, None, 1.0, message="loss 9e9"))
    status, out, _ = run(capsys, "retry", "a")
    assert status == 0
    assert re.fullmatch(r"queued again: vit_.*\n1 design is queued: run the study's search to evaluate it\n", out)
    assert run(capsys, "retry", "a")[1] == "no design is given up\n"


def test_devices_take_turns():
    assert session.device_slots(["cpu"], 3) == ("cpu", "cpu", "cpu")
    assert session.device_slots(None, 2) == ("cpu", "cpu") or session.device_slots(None, 2)[0] == "cuda:0"
