"""Scoring with a command: what it gets, and what becomes of every way in which it may end."""

import json
import math
import shlex
import sys
import threading
from pathlib import Path

import pytest

from piip_explore import phases
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.command_evaluator import CommandEvaluator
from piip_explore.search.evaluators import EvaluationTask, Place

DESIGN = Design.parse("vit_tiny@448 vit_small@224; interactions=3")


def python(code: str, *words: str) -> str:
    return shlex.join([sys.executable, "-c", code, *words])


def evaluate(tmp_path: Path, command: str, progress=lambda share: None, device="cpu", **options):
    task = EvaluationTask(0, str(DESIGN), DESIGN.id, 0.5, 3, Place(device), tmp_path)
    return CommandEvaluator(command, **options).evaluate(task, progress)


def run_folder(tmp_path: Path) -> Path:
    return tmp_path / f"{DESIGN.id}-0.5-3"


def test_a_command_gets_the_exported_design_a_folder_and_the_gpu(tmp_path):
    code = (
        "import json, sys, pathlib; config, out, gpu, fidelity, seed = sys.argv[1:]; "
        "pathlib.Path(out, 'metrics.json').write_text(json.dumps({'score': 40.5, 'standard_error': 0.25, 'fps': 9, "
        "'config': len(open(config).read())})); "
        "pathlib.Path(out, 'got').write_text(' '.join([config, gpu, fidelity, seed]))"
    )
    command = python(code, "{config}", "{out}", "{gpu}", "{fidelity}", "{seed}")
    outcome = evaluate(tmp_path, command, device="cuda:1")
    assert (outcome.status, outcome.score, outcome.standard_error) == ("ok", 40.5, 0.25)
    assert outcome.details["fps"] == 9
    config, *rest = (run_folder(tmp_path) / "out" / "got").read_text().split(" ")
    assert rest == ["1", "0.5", "3"]
    assert str(DESIGN) in Path(config).read_text()


def test_without_a_metrics_file_the_last_json_line_counts(tmp_path):
    code = """print('{"mAP": 1}'); print('{"mAP": 2.5, "name": "x"}'); print("bye")"""
    assert evaluate(tmp_path, python(code), metric="mAP").score == 2.5


@pytest.mark.parametrize(
    ("code", "options", "sentence"),
    [
        ("print('out of luck'); raise SystemExit(3)", {}, "ended with status 3: out of luck"),
        ("import os; os.abort()", {}, "ended with status -6: it printed nothing"),
        ("print('{}')", {}, r"left no metric 'score' in .*metrics\.json \(found: none\)"),
        ("""print('{"mAP": 1}')""", {}, r"left no metric 'score' .* \(found: mAP\)"),
        ("import time; time.sleep(600)", {"time_limit": 0.1}, r"took longer than 0\.1 s and was ended"),
    ],
)
def test_a_command_that_fails_has_crashed(tmp_path, code, options, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        evaluate(tmp_path, python(code), **options)


def test_a_command_that_is_not_there_has_crashed(tmp_path):
    with pytest.raises(RuntimeError, match="cannot run 'no-such-program'"):
        evaluate(tmp_path, "no-such-program {config}")


def test_a_metric_that_is_not_finite_has_diverged(tmp_path):
    outcome = evaluate(tmp_path, python("""print('{"score": NaN}')"""))
    assert (outcome.status, outcome.message) == ("diverged", "score is nan")
    assert math.isnan(outcome.score)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("train {confg}", "unknown field {confg}: expected {config}, {out}, {gpu}, {fidelity}, {seed}"),
        ("train '{config}", "No closing quotation"),
        ("", "an empty command evaluates nothing"),
    ],
)
def test_a_command_with_a_slip_is_refused_before_anything_runs(command, sentence):
    with pytest.raises(InputError, match=sentence):
        CommandEvaluator(command)


def test_an_unknown_target_is_refused():
    with pytest.raises(InputError, match="unknown target 'mmdet'"):
        CommandEvaluator("train", target="mmdet")


class Stop(BaseException):
    """What a search raises in an evaluation that is to stop."""


RESUMED = """
import json, pathlib, sys, time
out = pathlib.Path(sys.argv[1])
tries = len(list(out.glob("try-*")))
(out / ("try-" + str(tries))).touch()
if tries:
    (out / "metrics.json").write_text(json.dumps({"score": tries}))
else:
    time.sleep(600)
"""


def test_a_run_that_is_stopped_ends_its_command_and_gets_its_folder_again(tmp_path):
    command = python(RESUMED, "{out}")

    def stop(share):
        if (run_folder(tmp_path) / "out" / "try-0").exists():
            raise Stop

    with pytest.raises(Stop):
        evaluate(tmp_path, command, stop)
    assert evaluate(tmp_path, command).score == 1


ORPHAN = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[1])
(out / "begun").touch()
while not (out / "end").exists():
    time.sleep(0.05)
(out / "metrics.json").write_text('{"score": 7}')
"""


def test_a_command_whose_search_was_killed_is_not_run_beside_itself(tmp_path, monkeypatch):
    """The command continues alone; the next evaluation waits for it."""
    out, command = run_folder(tmp_path) / "out", python(ORPHAN, "{out}")
    monkeypatch.setattr("piip_explore.export.command_evaluator._end", lambda process: None)

    def leave(share):
        if (out / "begun").exists():
            raise Stop

    with pytest.raises(Stop):
        evaluate(tmp_path, command, leave)
    (out / "begun").unlink()
    waited = threading.Event()

    def waits(share):
        assert waited.is_set() or not (out / "begun").exists(), "the first still runs"
        waited.set()
        (out / "end").touch()

    told = []
    with phases.heard(lambda phase, share: told.append(phase)):
        assert evaluate(tmp_path, command, waits).score == 7
    assert waited.is_set()
    assert list(dict.fromkeys(told)) == ["waiting for the command of an earlier search", "running the command"]
    assert json.loads((out / "metrics.json").read_text()) == {"score": 7}
