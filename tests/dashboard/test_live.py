"""A study that runs while it is looked at, and searches that pages start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from piip_explore.dashboard import runs
from piip_explore.search.columns import read
from piip_explore.search.storage import RUNNING, parse
from tests.dashboard.conftest import PATIENCE, ROOT, View, served

Window = Callable[..., View]
T = TypeVar("T")


def replay(storage: Path, trials: int, delay: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.search.replayed", str(storage), "replayed", str(trials), "1", str(delay)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def test_news_is_announced_and_never_redraws_the_chart(window: Window, tmp_path: Path) -> None:
    storage = tmp_path / "replayed.journal"
    replay(storage, 10, 0.0).wait(PATIENCE)
    with served("--storage", str(storage)) as address:
        view = window(address).open()
        view.page.get_by_role("figure", name="of 10 trials").wait_for()
        view.page.evaluate("document.querySelector('.st-key-front_chart .js-plotly-plot').dataset.same = 'yes'")
        search = replay(storage, 25, 0.05)
        try:
            button = view.page.get_by_role("button", name="new trial")
            button.wait_for()
            search.wait(PATIENCE)
            view.page.get_by_role("button", name="15 new trials").wait_for()
            same = "document.querySelector('.st-key-front_chart .js-plotly-plot').dataset.same"
            assert view.page.evaluate(same) == "yes"
            button.click()
            view.page.get_by_role("figure", name="of 25 trials").wait_for()
        finally:
            search.kill()


def test_the_study_page_refreshes_by_itself(window: Window, tmp_path: Path) -> None:
    storage = tmp_path / "replayed.journal"
    replay(storage, 5, 0.0).wait(PATIENCE)
    with served("--storage", str(storage)) as address:
        view = window(address).open("study")
        done = view.page.get_by_test_id("stMetric").filter(has_text="Full runs done")
        done.get_by_text("5", exact=True).wait_for()
        search = replay(storage, 12, 0.05)
        try:
            done.get_by_text("12", exact=True).wait_for()
        finally:
            search.kill()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Path]:
    """A folder for the study `mine`; a search of it that still runs at the end of the test is ended."""
    folder = tmp_path / "studies"
    folder.mkdir()
    yield folder
    run = runs.running(parse(folder / "mine.journal"), "mine")
    if run is not None:
        os.killpg(run.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_search_is_started_paused_and_resumed_from_the_page(window: Window, tmp_path: Path, storage: Path) -> None:
    spaces = tmp_path / "spaces"
    spaces.mkdir()
    (spaces / "demo.yaml").write_text((ROOT / "search_spaces" / "demo.yaml").read_text())
    journal = storage / "mine.journal"
    address = parse(journal)
    with served("--storage", str(storage), "--spaces", str(spaces)) as url:
        view = window(url).open("study")
        view.page.get_by_label("Name").fill("mine")
        view.page.get_by_role("button", name="Start", exact=True).click()
        run = _until(lambda: runs.running(address, "mine"))
        view.page.get_by_role("button", name="Pause").wait_for()  # the new study opens by itself
        view.page.wait_for_url("**study=mine*")  # `page.url` alone changes only while Playwright listens
        _until(lambda: _states(journal, RUNNING))
    assert runs.running(address, "mine") == run, "the search ended with the dashboard"
    with served("--storage", str(storage), "--spaces", str(spaces)) as url:
        view = window(url).open("study")
        view.page.get_by_role("button", name="Pause").click()
        _until(lambda: runs.running(address, "mine") is None)
        assert not _states(journal, RUNNING)
        view.page.reload()
        view.page.get_by_label("Designs in all").fill("1")
        view.page.get_by_label("Designs in all").press("Enter")
        view.settle()
        view.page.get_by_role("button", name="Resume").click()
        _until(lambda: runs.running(address, "mine"))
        _until(lambda: "Resuming study 'mine'" in runs.log(address, "mine"))


def _states(path: Path, state: int) -> int:
    return int((read(path, "mine").state == state).sum()) if path.exists() and b'op_code":4' in path.read_bytes() else 0


def _until(found: Callable[[], T], seconds: float = PATIENCE) -> T:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)
    return value
