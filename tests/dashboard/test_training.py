"""What pages and report show of a run's training: loss, metric, and pictures of what it predicted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from piip_explore.cli.report import command
from piip_explore.dashboard import training
from piip_explore.search import pictures
from piip_explore.search.storage import parse
from tests.dashboard import synthetic
from tests.dashboard.test_pages import open_page, sent_to_charts

CURVES = {"curve": [[8, 2.0], [16, 1.5]], "metric_curve": [[8, 20.0], [16, 25.5]]}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A study that a proxy scored: trial 3 has curves and a picture, trial 4 curves alone, the others neither."""
    path = tmp_path / "studies" / "demo.journal"
    said = synthetic.record().to_attributes()
    said["record"]["evaluator"] = {"kind": "proxy", "metric": "mIoU", "preset": "demo", "preset_hash": "0" * 12}
    designs = synthetic.write(path, "demo", 3, attributes=said)
    rng = np.random.default_rng(0)
    with path.open("a") as file:
        for number in (3, 4):
            line = synthetic.trial_line(number, designs[number - 3], rng, user_attrs=CURVES)
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    pictures.write(parse(path), "demo", 3, b"seen")
    return path


def test_compare_draws_curves_over_each_other_and_pictures_side_by_side(journal: Path, tmp_path: Path) -> None:
    pictures.write(parse(journal), "demo", 4, b"seen too")
    app = open_page("compare", journal, tmp_path, tmp_path, pick=["3", "4"])
    assert not app.exception
    charts = {sent.get("alt"): sent for sent in sent_to_charts(app)}
    for label, last in (("training loss (smoothed)", 1.5), ("mIoU on held-out images", 25.5)):
        figure = json.loads(charts[f"{label} over samples seen"]["figure"])
        assert [trace["y"][-1] for trace in figure["data"]] == [last, last]
        assert figure["layout"]["yaxis"]["title"]["text"] == label
    (shown,) = (one.proto.body for one in app.get("html") if "piip-pictures" in one.proto.body)
    assert shown.count("<figure>") == 2
    assert training.LEGEND in [caption.value for caption in app.caption]


@pytest.mark.parametrize(("pick", "trains", "seen"), [("3", True, True), ("4", True, False), ("2", False, False)])
def test_a_run_without_a_picture_says_so(journal: Path, tmp_path: Path, pick: str, trains: bool, seen: bool) -> None:
    if not seen:
        pictures.delete(parse(journal), "demo")
    app = open_page("design", journal, tmp_path, tmp_path, pick=pick)
    assert not app.exception
    assert ("Training" in [header.value for header in app.header]) == trains
    assert (training.MISSING in [caption.value for caption in app.caption]) == (trains and not seen)
    assert any("piip-pictures" in one.proto.body for one in app.get("html")) == seen


def test_a_picture_is_html_that_needs_nothing_else() -> None:
    shown = training.figure(b"seen", "<b>trial</b> 3")
    assert 'src="data:image/webp;base64,c2Vlbg=="' in shown
    assert "<figcaption>&lt;b&gt;trial&lt;/b&gt; 3</figcaption>" in shown
    assert "<b>" not in shown


def test_a_report_holds_curves_and_pictures_of_its_designs(journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    words = ["demo", "--storage", str(journal), "--out", str(out), "--results", str(tmp_path), "--trial", "3"]
    answer = CliRunner().invoke(command, words, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    body = out.read_text(encoding="utf-8").partition("<body>")[2]
    part = body.partition("<h3>Trial 3")[2].partition("<h3>")[0]
    assert "mIoU on held-out images" in part
    assert body.count("data:image/webp;base64,c2Vlbg==") == 1
