"""Evaluators of a user's own, found by module or entry point."""

import pytest

from piip_explore.errors import InputError
from piip_explore.search import custom
from piip_explore.search.columns import read
from piip_explore.search.launch import Request
from tests.search.replayed import replayed_pool, start, supervised


@pytest.mark.parametrize(("name", "scale"), [("tests.search.own:Length", 1.0), ("tests.search.own:twice", 2.0)])
def test_a_class_or_an_object_of_a_module_is_found(name, scale):
    assert custom.load(name).scale == scale


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tests.search.own:Nothing", "'tests.search.own:Nothing': AttributeError: "),
        ("no_such_module:x", "'no_such_module:x': ModuleNotFoundError: "),
        ("tests.search.own:Lacking", "has no method conditions, evaluate: it needs describe, conditions, evaluate"),
        ("tests.search.own:Unsendable", "cannot be sent to a worker process: it holds an open file"),
        ("nothing", r"unknown evaluator 'nothing': expected package\.module:object, or an entry point \("),
    ],
)
def test_what_is_no_evaluator_is_one_sentence(name, sentence):
    with pytest.raises(InputError, match=sentence):
        custom.load(name)


def test_a_study_is_scored_by_an_evaluator_of_its_user(tmp_path):
    scores, path = custom.load("tests.search.own:twice"), tmp_path / "s.journal"
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=4, sampler="random")).study
    assert supervised(study, scores, ["cpu"] * 2).run()
    found = read(path, "s")
    assert found.values[:, 0].tolist() == [2.0 * len(design) for design in found.attributes["design"]]
    assert found.record["evaluator"] == {"kind": "length", "scale": 2.0}
