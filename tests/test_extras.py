"""What each command does where the packages of an extra are missing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from piip_explore.extras import EXTRAS
from tests.commands import ROOT, run_all

STUDY = str(next((ROOT / "piip_explore" / "dashboard" / "example").glob("*.journal")))
DESIGN = "vit_tiny@224 vit_small@112; interactions=2"

NEED_NONE = {
    "cost": ["cost", DESIGN],
    "enumerate": ["enumerate", "demo"],
    "predict": ["predict", "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14"],
    "pareto": ["pareto", "--storage", STUDY],
    "export": ["export", DESIGN, "--target", "official-detection", "--out", "work"],
}
NEED_ONE = {
    "search": (["search", "demo"], "proxy"),
    "validate": (["validate", "--preset", "demo"], "proxy"),
    "data preview": (["data", "preview", "--preset", "demo", "--out", "p.png"], "proxy"),
    "data check": (["data", "check", "coco:."], "proxy"),
    "dashboard": (["dashboard"], "dashboard"),
    "report": (["report", "--storage", STUDY, "--out", "report.html"], "dashboard"),
    "export to onnx": (["export", "vit_tiny@224", "--target", "onnx", "--out", "work"], "onnx"),
    "train": (["train", str(ROOT / "tests" / "train" / "design.yaml"), "--out", "work"], "train"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("without")


@pytest.fixture(scope="module")
def answers(folder):
    """The answer of every command that needs an extra, where every module of an extra is missing."""
    return dict(zip(NEED_ONE, run_all([arguments for arguments, _ in NEED_ONE.values()], folder, EXTRAS), strict=True))


def test_the_table_names_the_extras_that_install_the_modules():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    owners = {"pynvml": ["nvidia-ml-py"], **packages_distributions()}
    for module, extra in EXTRAS.items():
        names = {name.lower() for name in owners.get(module, [module])}  # not installed: named like its module
        assert any(line.lower().startswith(tuple(names)) for line in extras[extra]), (module, extra)


def test_what_needs_no_extra_does_without(tmp_path):
    for name, answer in zip(NEED_NONE, run_all(NEED_NONE.values(), tmp_path, EXTRAS), strict=True):
        assert answer.status == 0, (name, answer.err)


@pytest.mark.parametrize("name", NEED_ONE)
def test_what_needs_one_says_how_to_install_it(answers, name):
    assert answers[name].status == 2, answers[name].err
    assert f"pip install 'piip-explore[{NEED_ONE[name][1]}]'" in answers[name].err
    assert answers[name].err.count("\n") == 1


def test_nothing_is_begun_that_needs_one(answers, folder):
    assert not list(folder.iterdir())


def test_a_module_of_the_package_itself_is_not_taken_for_an_extra(tmp_path):
    script = (
        "import sys\nsys.modules['piip_explore.cost'] = None\n"
        "from piip_explore.cli import main\nmain(['cost', 'vit_tiny@224'])\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in answer.stderr
    assert "pip install" not in answer.stderr
