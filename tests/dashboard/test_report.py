"""A study as one HTML file: whole, self-contained, with foreign text as text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from piip_explore.cli import main
from piip_explore.cli.report import command
from tests.dashboard import synthetic
from tests.dashboard.test_security import EVIL


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "studies" / "demo.journal"
    synthetic.write(path, "demo", 40, attributes={"evaluator": {"kind": "proxy", "metric": EVIL}})
    return path


def run(journal: Path, out: Path, *more: str) -> str:
    words = ["demo", "--storage", str(journal), "--out", str(out), "--results", str(out.parent / "none"), *more]
    answer = CliRunner().invoke(command, words, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return out.read_text(encoding="utf-8")


def test_a_report_holds_front_knee_chosen_evidence_and_conditions(journal: Path, tmp_path: Path) -> None:
    written = run(journal, tmp_path / "report.html", "--trial", "3", "--max-gflops", "100")
    body = written[written.index("<body>") :]
    assert "Under 100 GFLOPs the best of" in body
    assert "<h3>Trial 3</h3>" in body
    assert re.search(r"<h3>Trial \d+: the knee", body)
    assert "No proxy has been validated" in body
    assert "Searched with: " in body
    assert not re.search(r"(src|href)=[\"']?https?:", body), "it loads something"
    assert "<img src=x" not in body
    assert "&lt;img src=x" in body


def test_a_report_whose_folder_is_a_file_is_a_sentence(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        main(["report", "demo", "--storage", str(journal), "--out", str(tmp_path / "file" / "report.html")])
    assert stopped.value.code == 2
    assert "cannot write '" in capsys.readouterr().err


def test_a_report_opens_without_a_network(journal: Path, tmp_path: Path, browser: object) -> None:
    run(journal, tmp_path / "report.html")
    context = browser.new_context(offline=True)  # type: ignore[attr-defined]
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{tmp_path / 'report.html'}")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 4")
    assert page.evaluate("window.pwned") is None
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    names = page.eval_on_selector_all(".modebar-btn", "buttons => buttons.map(button => button.dataset.title)")
    zoom = {"Zoom", "Pan", "Zoom in", "Zoom out", "Autoscale", "Reset axes"}
    assert set(names) == {*zoom, "Download plot as a PNG"}, "none uploads the chart, or selects in vain"
    context.close()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--trial", "99"], "trial 99 is not in study 'demo': it has trials 0 to 39"),
        ([], "--force"),
    ],
)
def test_what_cannot_be_reported_is_a_sentence(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    out = tmp_path / "report.html"
    if not words:
        out.write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        main(["report", "demo", "--storage", str(journal), "--out", str(out), *words])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists() or out.read_text() == "mine"
