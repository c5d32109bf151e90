"""Which studies may be resumed with other limits or another space."""

import pytest

from piip_explore.search.extend import space_differences
from piip_explore.space import SearchSpace

SPACE = """
name: s
branches:
  - {models: [vit_tiny, vit_small], resolutions: [448, 672]}
  - {models: vit_base, resolutions: 224, windows: [none, w7]}
interactions: [3, 6]
"""


def summary(text=SPACE, **constraints):
    rules = "".join(f"\n  {name}: {value}" for name, value in constraints.items())
    return SearchSpace.parse(text + (f"constraints:{rules}\n" if rules else ""), "s").summary()


def test_a_space_contains_itself_and_narrower_ones():
    assert space_differences(summary(), summary()) == []
    wider = SPACE.replace("[448, 672]", "[448, 672, 896]").replace("[3, 6]", "[3, 6, 12]")
    assert space_differences(summary(), summary(wider)) == []
    assert space_differences(summary(wider), summary()) == [
        "branches[1].resolutions no longer offers 896",
        "interactions no longer offers 12",
    ]


@pytest.mark.parametrize(
    ("limit", "loose", "tight"),
    [
        ("max_gflops", 200.0, 100.0),
        ("max_mparams", 200.0, 100.0),
        ("max_resolution_ratio", 4.0, 2.5),
        ("min_gflops", 1.0, 2.0),
        ("min_mparams", 1.0, 2.0),
    ],
)
def test_a_limit_may_be_loosened_and_not_tightened(limit, loose, tight):
    none, wide, narrow = summary(), summary(**{limit: loose}), summary(**{limit: tight})
    for before, now in ((narrow, wide), (wide, none), (narrow, none), (wide, wide)):
        assert space_differences(before, now) == []
    for before, now in ((wide, narrow), (none, wide), (none, narrow)):
        (difference,) = space_differences(before, now)
        assert difference.startswith(f"{limit}: ")


def test_a_rule_may_be_dropped_and_not_added():
    without, inverted = summary(), summary(parameter_inverted="yes")
    assert space_differences(inverted, without) == []
    assert len(space_differences(without, inverted)) == 1


def test_a_limit_that_a_study_of_before_did_not_know_is_tighter():
    before = summary()
    for name in ("max_train_gb", "max_latency_ms"):
        del before["constraints"][name]
    assert space_differences(before, summary()) == []
    now = summary()
    now["constraints"]["max_train_gb"] = "24@4"
    assert space_differences(before, now) == ["max_train_gb: none in the study, 24@4 now"]
    looser, other = summary(), summary()
    looser["constraints"]["max_train_gb"], other["constraints"]["max_train_gb"] = "32@4", "32@8"
    assert space_differences(now, looser) == []
    assert space_differences(now, other) == ["max_train_gb: 24@4 in the study, 32@8 now"]
