"""What docs/architecture.md and the other pages say of the package's files is true."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from tests import commands

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "piip_explore"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FILE = re.compile(r"(?<![\w./-])((?:[a-z_]+/)*[a-z_]+\.py)\b")
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


def entered(trip: Callable[[], object]) -> list[str]:
    """Return the files of the package of which a trip enters functions, in the order in which it comes to them."""
    found: dict[str, None] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if file.startswith(f"{PACKAGE}/") and frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a function, not a class
            found.setdefault(file.removeprefix(f"{PACKAGE}/"))

    before = sys.gettrace()
    sys.settrace(note)
    try:
        trip()
    finally:
        sys.settrace(before)
    return list(found)


def test_a_text_becomes_a_number_in_the_pictured_files_and_no_others():
    command = ["cost", "vit_tiny@448 vit_base@224"]
    assert commands.run(command).status == 0  # counts the parts
    found = entered(lambda: commands.run(command))
    first_line, files = pictured("From a text to a number.")
    assert sorted(found) == sorted(files)
    assert len(found) == 12, "the page says so"
    way = _FILE.findall(first_line)
    assert sorted(way, key=found.index) == way


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
