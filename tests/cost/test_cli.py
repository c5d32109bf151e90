"""The commands `cost`, `reproduce` and `enumerate`, as they are typed."""

import json
from dataclasses import asdict

import pandas as pd
import pytest

from piip_explore import Design
from piip_explore.cli import main
from piip_explore.cost import count, traffic
from piip_explore.cost.table import enumerate_space
from piip_explore.space import SearchSpace

TEXT = "vit_tiny@224:w5 vit_small@112; interactions=2; heads=4"
SPACE = """
name: small
branches:
  - {models: vit_tiny, resolutions: [224, 336], windows: [none, w5]}
  - {models: [vit_small, convnext_tiny], resolutions: [112, 160]}
interactions: [2, 0]
heads: 4
merge: [conv, linear]
constraints: {accounting: built}
"""


@pytest.fixture
def run(capsys):
    def run_command(*arguments: str) -> tuple[int, str, str]:
        try:
            main(list(arguments))
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        output = capsys.readouterr()
        return status, output.out, output.err

    return run_command


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SPACE)
    return path


@pytest.mark.parametrize("accounting", ["published", "built"])
def test_cost_under_one_accounting(run, accounting):
    status, out, _ = run("cost", TEXT, "--accounting", accounting, "--json")
    cost, answer = count(Design.parse(TEXT), accounting), json.loads(out)
    assert status == 0
    assert (answer["macs"], answer["params"]) == (cost.macs, cost.params)
    assert {name: (m["macs"], m["params"]) for name, m in answer["by_module"].items()} == dict(cost.by_module)
    assert answer["design"] == TEXT


def test_cost_shows_both_accountings_and_what_lies_between(run):
    status, out, _ = run("cost", TEXT, "--json")
    answer = json.loads(out)
    assert status == 0
    elements = asdict(traffic(Design.parse(TEXT)))
    assert {name: answer[name] for name in elements} == elements
    gap = answer["built"]["macs"] - answer["published"]["macs"]
    assert sum(change["macs"] for change in answer["difference"]) == gap != 0
    _, text, _ = run("cost", TEXT)
    for words in ("published", "built", "vit_tiny@224:w5", "interactions vit_small -> vit_tiny", "total", "pyramid"):
        assert words in text
    assert f"{answer['published']['gflops']:.3f}" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vit_tinny@224"], "vit_tinny"),
        (["vit_tiny@225"], "225"),
        (["vit_tiny@224 vit_small@112; heads=7"], "heads=7"),
        (["vit_tiny@224", "--accounting", "paper"], "paper"),
        ([], "DESIGN"),
    ],
)
def test_bad_input_to_cost_is_one_line_and_status_two(run, arguments, words):
    status, out, err = run("cost", *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_reproduce(run):
    status, out, _ = run("reproduce")
    assert status == 0
    assert "tsb-1120-896-448" in out
    assert "structure unknown" in out
    status, out, _ = run("reproduce", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["agree"] == answer["of"] >= 46
    assert all(row["gflops"] for rows in answer["tables"].values() for row in rows)


def test_reproduce_fails_where_a_figure_is_missed(run, monkeypatch):
    from piip_explore.cost import reproduce

    monkeypatch.setattr(reproduce, "TOLERANCE", 1e-6)
    status, out, _ = run("reproduce")
    assert status == 1
    assert "does not agree" in out


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_enumerate_writes_every_design(run, space, tmp_path, suffix):
    target = tmp_path / f"all.{suffix}"
    status, out, err = run("enumerate", str(space), "--out", str(target), "--json")
    assert (status, err) == (0, "")
    rows = (pd.read_csv if suffix == "csv" else pd.read_parquet)(target)
    table = enumerate_space(SearchSpace.load(space))
    assert json.loads(out)["designs"] == len(rows) == len(table)
    texts = rows["branch_1"].astype(str) + " " + rows["branch_2"].astype(str)
    options = rows["options"].astype(object).where(rows["options"].notna(), "").astype(str)
    designs = [Design.parse(f"{a}; {b}") for a, b in zip(texts, options, strict=True)]
    assert designs == [table.design(row) for row in range(len(table))]
    assert list(rows["macs"]) == list(table.macs)
    assert list(rows["params"]) == list(table.params)
    assert list(rows["activations"]) == list(table.activations)
    assert list(rows["moved"]) == list(table.moved)
    before = target.read_bytes()
    status, _, err = run("enumerate", str(space), "--out", str(target))
    assert status == 2
    assert "exists" in err
    assert target.read_bytes() == before


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_enumerate_adds_what_is_expected(run, tmp_path, suffix):
    (tmp_path / "mixed.yaml").write_text(
        "name: mixed\nbranches:\n"
        "  - {models: vit_tiny, resolutions: [896, 1120, 4480]}\n  - {models: vit_base, resolutions: [448, 672]}\n"
    )
    target = tmp_path / f"all.{suffix}"
    status, out, err = run(
        "enumerate", str(tmp_path / "mixed.yaml"), "--expect", "box_ap", "--out", str(target), "--json"
    )
    assert (status, err) == (0, "")
    rows = (pd.read_csv if suffix == "csv" else pd.read_parquet)(target)
    far = rows["branch_1"].astype(str).str.contains("@4480")
    assert rows["expected"].isna()[far].all()
    told = rows[rows["expected"].notna()]
    assert len(told) >= 3
    assert (told["expected_low"] < told["expected"]).all()
    best = json.loads(out)["highest_expected"]
    assert best[0]["expected"] == pytest.approx(told["expected"].max())
    _, text, _ = run("enumerate", str(tmp_path / "mixed.yaml"), "--expect", "miou")
    assert "The mIoU of these designs cannot be predicted" in text or "highest expected (UperNet 160k;" in text


def test_enumerate_sums_up_the_space(run, space):
    table = enumerate_space(SearchSpace.load(space))
    status, out, _ = run("enumerate", str(space), "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["accounting"] == "built"
    assert answer["gflops"] == [min(table.macs) / 1e9, max(table.macs) / 1e9]
    along = [entry["macs"] for entry in answer["along_gflops"]]
    assert along == sorted(along)
    for entry in answer["along_gflops"]:
        assert count(Design.parse(entry["design"]), "built").macs == entry["macs"]
    _, text, _ = run("enumerate", str(space))
    assert f"{len(table)} designs" in text


def test_enumerate_keeps_what_is_affordable(run, space):
    _, out, _ = run("enumerate", str(space), "--json", "--accounting", "published")
    cheapest = json.loads(out)["gflops"][0]
    limits = ("--accounting", "published", "--max-gflops", str(cheapest + 1e-6))
    status, out, _ = run("enumerate", str(space), "--json", *limits)
    assert status == 0
    assert json.loads(out)["gflops"] == [cheapest, cheapest]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["{space}", "--max-gflops", "0.001"], "no design"),
        (["{space}", "--out", "all.txt"], "all.txt"),
        (["{space}", "--out", "no/folder/all.csv"], "no/folder"),
        (["{space}", "--out", "n" * 300 + ".csv"], "File name too long"),
    ],
)
def test_bad_input_to_enumerate_is_one_line_and_status_two(run, space, arguments, words):
    status, out, err = run("enumerate", *(text.format(space=space) for text in arguments))
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
