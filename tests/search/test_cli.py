"""The commands, through the program's front door."""

import json
from pathlib import Path

import pytest

from piip_explore import cli
from piip_explore.search import session
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
    assert out.count("hypervolume") == 2
    status, out, _ = run(capsys, "importance", "a", "--json")
    assert {row["axis"] for row in json.loads(out)["importance"]} <= {axis.name for axis in replayed_pool().axes}


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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pareto", "nope"], "there is no study file 'studies/nope.journal'"),
        (["pareto"], "name the study, or its storage with --storage (in ./studies: a, b)"),
        (["pareto", "--storage", "studies/a.journal", "x"], "studies/a.journal holds no study 'x': it holds a"),
        (
            ["pareto", "--storage", "garbage"],
            "'garbage' is not a readable study file (line 1 is no Optuna journal line)",
        ),
        (["pareto", "--storage", "."], "'.' is not a file"),
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
        (["search", "tiny.yaml", "--rungs", "a"], "expected shares of a full run"),
        (["search", "tiny.yaml", "--devices", "tpu"], "unknown device 'tpu'"),
        (["search", "tiny.yaml", "--devices", "cuda:99"], "device 'cuda:99' is not there"),
        (["search", "tiny.yaml", "--max-gflops", "0.001"], "no design of 'tiny' fits the limits"),
        (["search", "tiny.yaml", "--storage", "garbage"], "'garbage' is not a readable study file"),
        (["search", "tiny.yaml", "--preset", "nope"], "unknown preset 'nope'"),
        (["search", "tiny.yaml", "--trials", "0"], "'--trials'"),
        (["search", "tiny.yaml", "--seed", "-1"], "'--seed'"),
        (["search", "tiny.yaml", "--max-gflops", "nan"], "'--max-gflops': 'nan': expected a number above 0"),
        (["search", "tiny.yaml", "--max-params", "-5"], "'--max-params': '-5': expected a number above 0"),
        (["search", "tiny.yaml", "--objectives", ""], "'--objectives': '': expected names with a comma between them"),
        (["search", "tiny.yaml", "--devices", "cpu,"], "'--devices': 'cpu,': expected names"),
        (["search", "tiny.yaml", "--storage", "garbage/x.journal"], "cannot write 'garbage/x.journal.files/propose'"),
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
def test_a_real_search_on_the_cpu(here, capsys):
    Path("tiny.yaml").write_text(TINY.replace("tiny-for-tests", "demo"))
    arguments = ["search", "tiny.yaml", "--trials", "1", "--workers", "1", "--devices", "cpu"]
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    result = json.loads(out)
    assert result["trials"]["complete"] == 1
    assert result["record"]["evaluator"]["preset"] == "demo"
    assert "Sampler: exhaustive (the budget covers every design of the space (1))" in err
    assert "Dashboard: piip-explore dashboard --storage studies/tiny.journal" in err
    before = Path("studies/tiny.journal").read_bytes()
    assert run(capsys, *arguments, "--json")[0] == 0
    assert Path("studies/tiny.journal").read_bytes() == before, "a finished study is not touched"


def test_devices_take_turns():
    assert session.device_slots(["cpu"], 3) == ("cpu", "cpu", "cpu")
    assert session.device_slots(None, 2) == ("cpu", "cpu") or session.device_slots(None, 2)[0] == "cuda:0"
