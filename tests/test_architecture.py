"""What docs/architecture.md and the other pages say of the package's files is true."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import ClassVar

import pytest
from streamlit.testing.v1 import AppTest

from piip_explore.dashboard.trials import Trials
from piip_explore.search import columns, report
from piip_explore.search.columns import Columns
from piip_explore.search.evaluators import EvaluationTask, Evaluator, Place
from piip_explore.search.launch import Request
from piip_explore.search.record import Record
from piip_explore.search.supervisor import Supervisor
from piip_explore.search.worker import Done
from piip_explore.testing.synthetic import evaluator, synthetic_pool
from tests import commands
from tests.search.replayed import start

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "piip_explore"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FILE = re.compile(r"(?<![\w./-])((?:[a-z_]+/)*[a-z_]+\.py)\b")
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
_OF_USERS = {"config.py", "configs/piip/mask_rcnn_piip_tsb.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_exist(page):
    folders = (ROOT / name for name in ("piip_explore", "benchmarks", "tests"))
    there = [f"/{path.relative_to(ROOT)}" for folder in folders for path in folder.rglob("*.py")]
    named = set(_FILE.findall(page.read_text(encoding="utf-8"))) - _OF_USERS
    assert not [name for name in named if not any(path.endswith(f"/{name}") for path in there)]


def pictured(trip: str) -> tuple[str, list[str]]:
    """Return the first line of the picture below the paragraph that begins so, and the files that it names."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    picture = page.partition(f"**{trip}**")[2].split("```")[1].strip("\n")
    return picture.partition("\n")[0], _FILE.findall(picture)


def rank(file: str) -> int:
    """Return how low the room of a file is in the contract of layers; 0 is the highest."""
    room = file.partition("/")[0].removesuffix(".py")
    return next((place for place, layer in enumerate(LAYERS) if room in re.findall(r"\w+", layer)), 0)


def walked(trip: Callable[[], object]) -> tuple[list[str], set[tuple[str, str]]]:
    """Return the files of the package of which a trip enters functions, as it comes to them, and calls upwards."""
    found: dict[str, None] = {}
    climbs = set()

    def inside(frame: FrameType) -> bool:
        return frame.f_code.co_filename.startswith(f"{PACKAGE}/")

    def note(frame: FrameType, event: str, argument: object) -> None:
        if not inside(frame) or not frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a module or a class, no function
            return
        file = frame.f_code.co_filename.removeprefix(f"{PACKAGE}/")
        found.setdefault(file)
        caller = frame.f_back
        while caller is not None and not inside(caller):
            caller = caller.f_back
        if caller is not None and rank(before := caller.f_code.co_filename.removeprefix(f"{PACKAGE}/")) > rank(file):
            climbs.add((before, file))

    before = sys.gettrace()
    sys.settrace(note)
    threading.settrace(note)
    try:
        trip()
    finally:
        sys.settrace(before)
        threading.settrace(before)  # type: ignore[arg-type]
    return list(found), climbs


def in_order(files: list[str], found: list[str]) -> bool:
    return sorted(files, key=found.index) == files


def test_a_text_becomes_a_number_in_the_pictured_files_and_no_others():
    command = ["cost", "vit_tiny@448 vit_base@224"]
    assert commands.run(command).status == 0  # counts the parts
    found, climbs = walked(lambda: commands.run(command))
    first_line, files = pictured("From a text to a number.")
    assert sorted(found) == sorted(files)
    assert len(found) == 12, "the page says so"
    assert in_order(_FILE.findall(first_line), found)
    assert not climbs


class Here:
    """An executor of one worker, which is this process."""

    workers: ClassVar = {0: Place("cpu")}

    def __init__(self, scores: Evaluator) -> None:
        self._scores, self._done = scores, []

    def submit(self, number: int, task: EvaluationTask) -> None:
        self._done.append((number, Done(self._scores.evaluate(task, lambda share: None))))

    def events(self, seconds: float) -> list[tuple[int, Done]]:
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        pass


SPACE = """
name: two
branches:
  - {models: [vit_tiny], resolutions: [672, 896]}
  - {models: [vit_base], resolutions: [224, 448]}
"""


@pytest.fixture(scope="module")
def scores() -> Evaluator:
    return evaluator(synthetic_pool(SPACE))


def searched(folder: Path, scores: Evaluator) -> Columns:
    """Search two designs whose scores are replayed, and return the study."""
    storage = str(folder / "s.journal")
    study = start(synthetic_pool(SPACE), scores, storage, "s", Request(trials=2, sampler="random")).study
    assert Supervisor(study, Here(scores)).run()
    return columns.read(storage, "s")


def test_a_trial_comes_to_the_front_in_as_many_files_as_the_page_says(tmp_path, scores):
    report.front_text(searched(tmp_path / "before", scores))  # reads what is remembered, such as models by their names
    found, climbs = walked(lambda: report.front_text(searched(tmp_path / "study", scores)))
    assert len(found) == 33, "the page says so"
    _, files = pictured("From a trial to the front.")
    elsewhere = {"cli/search.py", "search/session.py", "worker.py", "proxy/trainer.py", "cli/pareto.py"}
    way = [file if "/" in file else f"search/{file}" for file in files if file not in elsewhere]
    assert not [file for file in way if not any(one.endswith(file) for one in found)]
    assert in_order(["search/launch.py", "search/study.py", "search/columns.py", "search/report.py"], found)
    assert not climbs


def page(trials):
    """A click on a trial, and the part of the page of designs that exports it; AppTest runs it by its source."""
    from piip_explore.dashboard import address, exports, selection

    selection.select(["1"])
    (chosen,) = selection.selected(trials, address.picks())
    exports.offer(chosen, trials)


def test_a_click_becomes_a_file_in_as_many_files_as_the_page_says(tmp_path, scores):
    study = searched(tmp_path, scores)
    app = AppTest.from_function(page, args=(Trials(study, Record.from_attributes(study.record), {}),))
    assert app.run(timeout=60).expander, "a file is shown"  # loads the target's module
    found, climbs = walked(lambda: app.run(timeout=60))
    assert len(found) == 17, "the page says so"
    first_line, files = pictured("From a click to an exported file.")
    assert set(files) <= set(found)
    assert in_order(_FILE.findall(first_line), found)
    assert not climbs


def test_a_class_has_a_name_of_its_own():
    where: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


def test_a_module_that_no_folder_tells_apart_has_a_name_of_its_own():
    in_rooms = {path.stem for path in PACKAGE.glob("*/**/*.py")} - {"__init__"}
    assert not in_rooms & {path.stem for path in PACKAGE.glob("*.py")}


def test_files_are_locked_in_one_way():
    """`files.exclusive` locks a file; a study's file has locks of its own, and `storage/locks.py` says why."""
    locking = re.compile(r"^\s*(?:import|from) (?:fcntl|filelock|portalocker|msvcrt)\b", re.MULTILINE)
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if locking.search(path.read_text())}
    assert found == {"files.py", "search/storage/locks.py"}
