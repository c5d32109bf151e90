"""What is expected of a study's designs beside their proxy scores, and where the two contradict each other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from piip_explore import Design, predict
from piip_explore.cli import main
from piip_explore.errors import InputError
from piip_explore.search import columns, expected, locate, report
from piip_explore.search.columns import Columns
from piip_explore.search.expected import Objection
from piip_explore.search.storage import COMPLETE

SMALL, LARGE = (
    "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14",
    "vit_tiny@1568:w14 vit_small@1120:w14 vit_base@672:w14",
)
SINGLE = "vit_base@1024:w14g3"
PROXY = {"kind": "proxy", "preset": "cpu", "metric": "likelihood"}
TRIALS = [  # trial 1 is off the front: without interactions SMALL costs less and scores higher
    (f"{SMALL}; interactions=0", 30.4, 176.0),
    (SMALL, 30.3, 243.0),
    (LARGE, 31.8, 453.0),
    (SINGLE, 32.2, 463.0),
]


def study(trials=TRIALS, evaluator=PROXY, task="detection"):
    texts, scores, gflops = zip(*trials, strict=True)
    count = len(trials)
    return Columns(
        storage="s.journal",
        study="s",
        record={"objectives": ["score", "gflops"], "evaluator": evaluator, "space": {"task": task}},
        objectives=("score", "gflops"),
        directions=("maximize", "minimize"),
        number=np.arange(count) + 7,
        state=np.full(count, COMPLETE, dtype=np.int8),
        values=np.column_stack([scores, gflops]),
        started=np.full(count, "NaT", dtype="datetime64[us]"),
        completed=np.full(count, "NaT", dtype="datetime64[us]"),
        params=pd.DataFrame(index=range(count)),
        attributes=pd.DataFrame({"design": texts}),
        constraints=pd.DataFrame(index=range(count)),
    )


def test_more_interactions_and_a_pyramid_object_to_what_the_proxy_puts_above_them():
    found = expected.of_front(study(), "box_ap")
    assert [(one.better, one.worse, one.question) for one in found] == [
        (1, 0, "interactions"),
        (2, 3, "one branch or several"),
    ]
    order = predict.compare(Design.parse(SMALL), Design.parse(TRIALS[0][0]))
    assert found[0].probability == order.probability > 0.8


@pytest.mark.parametrize(
    "trials",
    [
        [*TRIALS[:1], (SMALL, 30.5, 243.0), TRIALS[2], (SINGLE, 31.7, 463.0)],  # the score agrees
        [(SMALL, 33.0, 243.0), (LARGE, 32.0, 453.0)],  # they differ in resolution, which the proxy can rank
        [(f"{SMALL}; interactions=11", 33.0, 240.0), (SMALL, 32.0, 243.0)],  # no order is probable
        [("clip_base@448", 33.0, 100.0), (SMALL, 32.0, 243.0)],  # nothing is expected of one of them
    ],
)
def test_no_objection_where_they_agree_or_the_order_is_open(trials):
    assert expected.of_front(study(trials), "box_ap") == []


def test_what_the_front_has_for_no_more_needs_no_objection():
    """Trial 1 would be better than trial 0, but trial 2 is better still, costs less, and is on the front."""
    trials = [TRIALS[0], (SMALL, 30.3, 243.0), (LARGE, 31.8, 240.0)]
    assert expected.of_front(study(trials), "box_ap") == []


@pytest.mark.parametrize("singles", [0.0, 0.1])
def test_reading_only_what_may_object_finds_the_same(singles):
    """Of 400 made-up trials, some of which are not designs that this version can read."""
    rng = np.random.default_rng(0)
    sides = [672, 896, 1120]
    texts = [
        f"vit_base@{rng.choice(sides)}"
        if rng.random() < singles
        else f"vit_tiny@1120 vit_small@{rng.choice(sides)} vit_base@448; interactions={rng.choice([0, 1, 6, 12])}"
        for _ in range(400)
    ]
    scores, costs = rng.normal(30, 1, 400), rng.uniform(100, 500, (400, 1))
    front = np.flatnonzero(
        [not ((costs[:, 0] < cost) & (scores > score)).any() for score, (cost,) in zip(scores, costs, strict=True)]
    )
    designs = [Design.parse(text) for text in texts]
    found = expected.objections(texts, scores, costs, front, "box_ap")
    assert found == expected._objections(designs, scores, costs, front, "box_ap")
    assert found
    unknown = np.setdiff1d(np.arange(400), [*front, *(one.better for one in found)])[:20]
    lost = ["vit_of_another_package@448" if row in unknown else text for row, text in enumerate(texts)]
    assert expected.objections(lost, scores, costs, front, "box_ap") == found


def test_bounds_leave_designs_out():
    assert [one.worse for one in expected.of_front(study(), "box_ap", {"gflops": 240.0})] == []
    assert [one.worse for one in expected.of_front(study(), "box_ap", {"gflops": 243.0})] == [0]


def test_rows_are_those_of_the_study():
    shifted = study([(SMALL, np.nan, 243.0), *TRIALS])
    shifted.state[0] = COMPLETE - 1
    assert [(one.better, one.worse) for one in expected.of_front(shifted, "box_ap")] == [(2, 1), (3, 4)]


def test_the_front_shows_what_is_expected_and_what_contradicts_it():
    lines = report.front_text(study()).splitlines()
    assert lines[0].split() == ["trial", "score", "GFLOPs", "expected", "box", "AP", "design"]
    one = predict.expect(Design.parse(SINGLE))
    assert f" {one.mean:.1f} ± {one.high - one.mean:.1f} " in next(line for line in lines if SINGLE in line)
    meaning, objections = lines[-2:]
    assert meaning.startswith("expected box AP: of full training (Mask R-CNN 1x)")
    assert "not measured" in meaning
    assert objections.startswith("Expected box AP contradicts the score: trial ")
    assert "trial 8 above 7 (interactions, probability 0." in objections
    assert "trial 9 above 10 (one branch or several, probability 0." in objections


def test_scores_that_no_proxy_gave_stand_alone_unless_asked():
    own = study(evaluator={"kind": "command"})
    assert "expected" not in report.front_text(own)
    asked = report.front_text(own, metric="box_ap")
    assert "expected box AP" in asked
    assert "contradicts" not in asked
    with pytest.raises(InputError, match="metric 'map'"):
        report.front_text(own, metric="map")


def test_where_nothing_is_expected_there_is_no_column():
    small = study([("vit_tiny@224", 10.0, 1.0), ("vit_tiny@224 vit_small@112", 11.0, 2.0)])
    told = report.front_text(small)
    assert "expected" not in told
    assert "trials 7 and 8 (one branch or several)" in told
    assert "The box AP of these designs cannot be predicted" in report.front_text(small, metric="box_ap")


def test_a_row_without_a_number_has_a_dash():
    lines = report.front_text(study([("vit_tiny@224", 10.0, 1.0), *TRIALS])).splitlines()
    assert next(line for line in lines if "vit_tiny@224" in line).split()[:4] == ["7", "10", "1", "-"]


@pytest.mark.parametrize(
    ("task", "score", "metric"),
    [
        ("detection", "likelihood", "box_ap"),  # scored by another task than the space's
        ("segmentation", "AP", "miou"),
        (None, "likelihood", "miou"),
        (None, "mIoU", "miou"),
        (None, "top-1", "top1"),
        (None, "AP", "box_ap"),
        ("multimodal", "AP", "box_ap"),
    ],
)
def test_the_metric_is_that_of_the_spaces_task(task, score, metric):
    assert expected.metric_of(study(task=task, evaluator={"metric": score})) == metric
    assert expected.metric_of(replace(study(), record={})) == "box_ap"
    assert expected.metric_of(None) == "box_ap"


def test_many_objections_are_counted():
    designs = study([(f"{SMALL}; interactions={n}", 30.0, 200.0) for n in range(5)])
    line = expected.text(designs, [Objection(n + 1, n, "interactions", 0.8 + n / 100) for n in range(4)], "miou")
    assert "trial 11 above 10 (interactions, probability 0.83), trial 10 above 9" in line
    assert "and 1 more. Ask: piip-explore predict '" in line
    assert line.endswith(" --metric miou")
    assert expected.text(designs, [], "miou") == ""


def test_the_simplest_choice_is_objected_to_for_its_few_interactions():
    trials = [(f"{SMALL}; interactions=2", 30.4, 187.0), (SMALL, 30.5, 243.0), (LARGE, 31.0, 453.0)]
    mine = study(trials)
    one = expected.of_choice(mine, 0, np.array([1, 0]), "box_ap")
    assert [(found.better, found.worse, found.question) for found in one] == [(1, 0, "interactions")]
    assert expected.of_choice(mine, 1, np.array([1, 0]), "box_ap") == []
    assert expected.of_choice(mine, 0, np.array([2, 0]), "box_ap") == []  # of other resolutions


@pytest.mark.parametrize(("evaluator", "objects"), [(PROXY, True), ({"kind": "command"}, False)])
def test_recommend_says_what_is_expected_to_beat_its_choice(evaluator, objects, monkeypatch, capsys):
    trials = [(f"{SMALL}; interactions=2", 30.5, 187.0), (SMALL, 30.4, 243.0)]
    monkeypatch.setattr(locate, "study", lambda study, storage: (storage, study))
    monkeypatch.setattr(columns, "read", lambda storage, name: study(trials, evaluator))
    main(["recommend", "s"])
    out = capsys.readouterr().out
    assert ("Expected box AP contradicts the score: trial 8 above 7 (interactions, probability" in out) == objects
