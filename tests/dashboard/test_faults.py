"""Studies that are deleted, emptied, cut or torn give a sentence: no other study, no wrong count, no traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from piip_explore.dashboard import exports
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.server.application import MAIN
from piip_explore.dashboard.trials import of
from piip_explore.search.columns import read
from tests.dashboard import synthetic
from tests.dashboard.conftest import PATIENCE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    synthetic.write(tmp_path / "studies" / "alone.journal", "alone", 40)
    synthetic.write(tmp_path / "studies" / "other.journal", "other", 40, seed=1)
    return tmp_path / "studies"


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Open the dashboard in a new browser session."""

    def start(**address: Any) -> AppTest:
        options = Options((str(folder),), None, folder / "none", (folder / "none",))
        monkeypatch.setattr(sys, "argv", ["main.py", *options.arguments()])
        app = AppTest.from_file(str(MAIN), default_timeout=PATIENCE)
        for name, value in address.items():
            app.query_params[name] = value
        return app.run()

    return start


def delete(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def move(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))


@pytest.mark.parametrize("lose", [delete, empty, move])
def test_a_lost_study_is_said_and_no_other_is_shown(
    opened: Callable[..., AppTest], folder: Path, lose: Callable[[Path], None]
) -> None:
    lose(folder / "alone.journal")
    app = opened(study="alone", pick="3")
    assert not app.exception
    assert any("There is no study 'alone' here" in plain(error.value) for error in app.error)
    assert app.selectbox(key="study").value is None
    assert not app.get("bidi_component"), "nothing is drawn of another study"
    assert app.query_params["study"] in ("alone", ["alone"]), "the address keeps naming it"
    app.selectbox(key="study").set_value("other").run()
    assert not app.error
    assert app.get("bidi_component")


def test_a_journal_cut_in_half_counts_no_negative_trials(opened: Callable[..., AppTest], folder: Path) -> None:
    app = opened(study="alone")
    path = folder / "alone.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:20]))
    app.run()
    assert not app.exception
    said = [plain(one.value) for one in [*app.error, *app.warning]]
    assert not [button.label for button in app.button if "-" in button.label]
    assert any("fewer than before" in words or "alone.journal" in words for words in said), said


@pytest.mark.parametrize("curve", [[[1, 2, 3]], "abc", [[1, "x"]], 5])
def test_a_malformed_loss_curve_is_a_sentence(opened: Callable[..., AppTest], folder: Path, curve: Any) -> None:
    design = synthetic.space().design(7)
    line = synthetic.trial_line(40, design, np.random.default_rng(0), user_attrs={"curve": curve})
    with (folder / "alone.journal").open("a") as file:
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
    app = opened(study="alone", pick="40")
    assert not app.exception
    assert any("the loss curve of trial 40" in plain(error.value) for error in app.error)


def plain(words: str) -> str:
    """Undo what keeps foreign text from being read as Markdown."""
    return words.replace("\\", "").replace("\u2060", "")


@pytest.mark.parametrize(
    ("task", "metric", "target"),
    [
        (None, "mIoU", "official-segmentation"),
        (None, "likelihood", "official-segmentation"),
        (None, "box AP", "official-detection"),
        (None, "top-1", "official-classification"),
        (None, "AP", "official-detection"),
        ("detection", "likelihood", "official-detection"),
    ],
)
def test_exports_open_on_the_target_of_the_studys_task(
    tmp_path: Path, task: str | None, metric: str, target: str
) -> None:
    """The task of its space, or else of its score."""
    synthetic.write(tmp_path / "a.journal", "a", 3)
    columns = read(tmp_path / "a.journal", "a")
    found = columns.record
    of_task = {"space": {**found["space"], "task": task}, "evaluator": {**found["evaluator"], "metric": metric}}
    trials = of(replace(columns, record={**found, **of_task}), {})
    assert exports.usual(trials) == target
    assert exports.usual(None) == "official-detection"
