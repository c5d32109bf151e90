"""Every space that comes with the package: the right task scores a design of it, or the search is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from piip_explore import proxy
from piip_explore.search.columns import read
from piip_explore.space import SearchSpace
from piip_explore.space.shipped import shipped
from tests.commands import Answer, run_all
from tests.search import toy

REFUSED = "llava"
SCORED = [name for name in shipped() if name != REFUSED]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_search_ends_with_a_score_of_the_space_s_task_or_is_refused(tmp_path: Path) -> None:
    searches = [["search", name, "--trials", "1", "--workers", "1", "--devices", "cpu"] for name in (*SCORED, REFUSED)]
    *answers, refused = run_all(searches, tmp_path, environment=toy.environment(tmp_path))
    for name, answer in zip(SCORED, answers, strict=True):
        check_scored(name, SearchSpace.load(name).task or "segmentation", answer, tmp_path)
    assert refused.status == 2
    sentence = "piip-explore: no proxy preset trains multimodal models: choose a near task with --task"
    assert refused.err.startswith(sentence)
    assert not (tmp_path / f"studies/{REFUSED}.journal").exists()


def check_scored(name: str, task: str, answer: Answer, folder: Path) -> None:
    assert answer.status == 0, (name, answer.out, answer.err)
    found = read(folder / f"studies/{name}.journal", name)
    assert found.full.sum() == 1
    evaluator = found.record["evaluator"]
    trains = proxy.PRESETS[evaluator["preset"]].task
    assert (trains.name, trains.metric) == (task, evaluator["metric"])
    preset = f"the proxy preset {evaluator['preset']} ({task}, sized for a CPU"
    assert f"Score: {evaluator['metric']} of {preset}" in answer.out
    assert "Time: about" in answer.out
