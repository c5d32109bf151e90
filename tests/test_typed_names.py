"""Names as people type them on the command line, from any folder: understood, or answered with what was meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import piip_explore
from piip_explore import catalog
from piip_explore.preset_names import PRESETS
from tests import commands

ROOT = Path(piip_explore.__file__).parents[1]


def run(folder: Path, *arguments: str, package: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "piip_explore", *arguments]
    environment = os.environ | {"PYTHONPATH": str(package)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_models_and_spaces_are_listed(tmp_path):
    models = run(tmp_path, "models")
    assert models.returncode == 0
    assert [line.split()[0] for line in models.stdout.splitlines()[1:]] == list(catalog.MODELS)
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert all(
        f"    {line}\n" in page for line in models.stdout.splitlines() if line.startswith("model ") or "_base" in line
    )
    assert json.loads(run(tmp_path, "models", "--json").stdout)["vit_small"]["dim"] == 384
    presets = run(tmp_path, "presets")
    assert presets.returncode == 0
    assert [line.split()[0] for line in presets.stdout.splitlines()[1:]] == list(PRESETS)
    spaces = json.loads(run(tmp_path, "spaces", "--json").stdout)
    assert set(spaces) == {path.stem for path in (ROOT / "search_spaces").glob("*.yaml")}
    listed = run(tmp_path, "spaces").stdout
    for name, space in spaces.items():
        assert Path(space["file"]).is_file()
        assert f"{space['designs']:,} designs" in listed.partition(name)[2]


def test_a_design_needs_no_quotes_and_takes_commas(tmp_path):
    wanted = json.loads(run(tmp_path, "cost", "vit_tiny@448 vit_small@224", "--json").stdout)
    assert wanted["design"] == "vit_tiny@448 vit_small@224"
    words = json.loads(run(tmp_path, "cost", "ViT-T@448,", "vit_small_patch16_224@224", "--json").stdout)
    assert words == wanted


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cost", "vit_smal@448"], "unknown model 'vit_smal': did you mean 'vit_small'?"),
        (["cost", "PIIP-SB"], "did you mean 'vit_small@896 vit_base@448'?"),
        (["cost", "vit_tiny@448", "vit_base@224", "merge=linear"], "put a ';' before it, such as '; merge=linear'"),
        (["cost", "vit_tiny@448 vit_base@224; merg=linear"], "option 'merg=linear': did you mean 'merge'?"),
        (
            ["enumerate", "coco_tbs"],
            "space 'coco_tbs': no such file; did you mean 'coco_tsb'?",
        ),
        (["enumerate", "search_spaces/coco_tsb.yaml"], "no such file; did you mean 'coco_tsb'?"),
        (["search", "zzz.yaml"], "no such file; expected one of ade20k_tsb_sbl, coco_h6b, "),
        (["cots", "vit_tiny@448"], "unknown command 'cots': did you mean 'cost'?"),
        (["cost", "PIIP-TSB"], "did you mean 'vit_tiny@1120 vit_small@896 vit_base@448'?"),
        (["search", "demo", "--preset", "dmo"], "unknown preset 'dmo': did you mean 'demo'?"),
        (["search", "demo", "--devices", "97,98"], "device 'cuda:97' is not available"),
        (["search", "demo", "--devices", "mps"], "unknown device 'mps': expected auto, cpu, cuda or cuda:N"),
        (["dashboard", "--storage", "missing"], "there is no storage 'missing'"),
        (
            ["trials", "--study", "demo"],
            "'--study' is not an option here but an argument: piip-explore trials ",
        ),
        (["cost", "--design", "vit_tiny@448"], "argument: piip-explore cost [OPTIONS] DESIGN..."),
        (["cost", "vit_tiny@448", "--acounting", "built"], "'--acounting'. Did you mean '--accounting'?"),
    ],
)
def test_a_mistyped_name_is_answered_in_one_line(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    answer = commands.run(arguments)
    assert answer.status == 2
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("coco_tbs", "'studies/coco_tbs.journal': did you mean 'coco_tsb'?"),
        ("zzz", "'studies/zzz.journal': expected one of coco_tsb, demo"),
    ],
)
def test_a_mistyped_study_is_answered_with_those_that_are_there(tmp_path, monkeypatch, name, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    for there in ("demo", "coco_tsb", "._demo"):
        (tmp_path / f"studies/{there}.journal").touch()
    answer = commands.run(["pareto", name])
    assert answer.status == 2
    assert sentence in answer.err


def test_a_file_comes_before_a_space_of_that_name(tmp_path):
    (tmp_path / "demo").write_text("name: mine\npool: {models: vit_tiny, branches: 1, resolutions: [224, 448]}\n")
    assert json.loads(run(tmp_path, "enumerate", "demo", "--json").stdout)["space"] == "mine"


def test_an_installed_wheel_has_the_spaces_and_all_data(tmp_path):
    hatchling = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(hatchling, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"piip_explore-{piip_explore.__version__}-")
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    left_out = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "piip_explore").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } - set(archive.namelist())
    assert not left_out
    spaces = json.loads(run(tmp_path, "spaces", "--json", package=installed).stdout)
    assert {Path(space["file"]).parent for space in spaces.values()} == {installed / "piip_explore" / "search_spaces"}
    assert json.loads(run(tmp_path, "enumerate", "demo", "--json", package=installed).stdout)["space"] == "demo"
