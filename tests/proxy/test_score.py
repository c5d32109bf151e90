"""Scores: means over seeds, and results that are no numbers."""

import json
import math
from dataclasses import replace

import pytest

from piip_explore.errors import InputError
from piip_explore.proxy import Conditions, Score, combine

CONDITIONS = Conditions("demo", "abc", "cpu", "123", "torch", "2.13.0")
ONE = Score(40.0, None, (0,), "mIoU", 1.0, 10.0, 100, ((32, 2.0),), "ok", CONDITIONS, details={"pixel accuracy": 80.0})


def test_seeds_combine_to_a_mean_with_its_standard_error():
    both = combine([ONE, replace(ONE, value=44.0, seeds=(1,), seconds=12.0, peak_memory=90)])
    assert both.value == 42
    assert both.standard_error == pytest.approx(2)  # deviation 2.83 over the root of 2
    assert both.seeds == (0, 1)
    assert both.seconds == 22
    assert both.peak_memory == 100
    assert both.details == {"pixel accuracy": 80}
    assert combine([ONE]).standard_error is None


def test_a_failed_seed_decides():
    failed = replace(ONE, value=math.nan, status="diverged", message="loss inf", details={})
    both = combine([ONE, failed])
    assert (both.status, both.message) == ("diverged", "loss inf")
    assert math.isnan(both.value)
    assert both.standard_error is None


def test_only_like_and_like_combine():
    with pytest.raises(InputError, match="different conditions"):
        combine([ONE, replace(ONE, conditions=replace(CONDITIONS, preset_hash="def"))])
    with pytest.raises(InputError, match="no scores"):
        combine([])


def test_scores_go_through_json():
    gone = {"AP large": math.nan}
    failed = replace(ONE, value=math.nan, status="infeasible", train_loss=((32, math.nan),), details=gone)
    back = Score.from_dict(json.loads(json.dumps(failed.to_dict(), allow_nan=False)))
    assert math.isnan(back.value)
    assert math.isnan(back.train_loss[0][1])
    assert math.isnan(back.details["AP large"])
    assert replace(back, value=0.0, train_loss=(), details={}) == replace(failed, value=0.0, train_loss=(), details={})
    assert Score.from_dict(json.loads(json.dumps(ONE.to_dict()))) == ONE
