"""What the dashboard shows is found without Plotly: only the modules that make figures import it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest

from tests.dashboard.conftest import ROOT

MAKE_FIGURES = {"app", "brush", "inspector", "pages", "report", "server", "training"}

_CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
(DATA,) = (contract["source_modules"] for contract in _CONTRACTS if contract.get("forbidden_modules") == ["plotly"])


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """Why a module cannot be imported where Plotly is missing, by its name."""
    script = (
        "import importlib, json, sys\n"
        "sys.modules['plotly'] = None\n"
        "failures = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n        failures[name] = str(error)\n"
        "print(json.dumps(failures))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, *DATA], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", DATA)
def test_data_need_no_plotly(failures: dict[str, str], name: str) -> None:
    assert failures.get(name) is None


def test_every_module_either_makes_figures_or_needs_no_plotly() -> None:
    folder = ROOT / "piip_explore" / "dashboard"
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    named = {name.removeprefix("piip_explore.dashboard.").partition(".")[0] for name in DATA}
    assert named | MAKE_FIGURES == modules - {"__init__"}
