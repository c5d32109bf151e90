"""How long a search takes: before it runs from costs, then from what evaluations took."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from piip_explore import Design, proxy
from piip_explore.proxy import durations
from piip_explore.search.evaluators import ProxyEvaluator, ReplayEvaluator
from piip_explore.search.forecast import Clock, Forecast, forecast
from piip_explore.testing.synthetic import synthetic_pool

SMALL = Design.parse("vit_tiny@448 vit_small@224; interactions=6")
LARGE = Design.parse("vit_tiny@1344 vit_base@896; interactions=12")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path / "cache"))


def test_a_design_of_the_demo_takes_the_seconds_that_were_measured():
    """benchmarks/results/proxy-demo.csv: 11 to 18 CPU seconds, of which four are the start."""
    demo = proxy.preset("demo")
    small = Design.parse("vit[depth=6,dim=96,heads=3]@336 vit_tiny@224; interactions=6")
    large = Design.parse("vit[depth=6,dim=96,heads=3]@896 vit_small@784; interactions=6")
    assert 3.5 < durations.trial_seconds(small, demo, "cpu") < 14
    assert 7 < durations.trial_seconds(large, demo, "cpu") < 28
    assert durations.trial_seconds(LARGE, demo, "cpu") > durations.trial_seconds(SMALL, demo, "cpu")
    cpu = proxy.preset("cpu")  # docs/lab-book.md: 30 to 270 seconds from the one to the other
    assert 15 < durations.trial_seconds(Design.parse("vit_base@1024"), cpu, "cpu") < 60
    largest = Design.parse("vit_tiny@1792 vit_small@1344 vit_base@1120 vit_large@896")
    assert 135 < durations.trial_seconds(largest, cpu, "cpu") < 540


def test_a_warm_start_takes_the_minutes_that_were_measured():
    """docs/lab-book.md: about 20 CPU minutes for the four ViTs; each is trained once, whatever its branches."""
    four = Design.parse("vit_tiny@1120 vit_small@896 vit_base@672 vit_large@448")
    before = durations.preparation_seconds([four, LARGE], proxy.preset("cpu"), "cpu")
    assert set(before) == {"scenes", "vit_tiny", "vit_small", "vit_base", "vit_large"}
    del before["scenes"]
    assert 600 < sum(before.values()) < 2400
    assert set(durations.preparation_seconds([SMALL], proxy.preset("demo"), "cpu")) == {"scenes"}


def test_what_is_in_the_cache_is_not_made_again(tmp_path):
    demo = proxy.preset("demo")
    tiny = dataclasses.replace(demo, train_images=2, val_images=2, size=32)
    assert durations.preparation_seconds([SMALL], tiny, "cpu")
    for split in ("train", "val"):
        tiny.data.load(split, 2, 32, torch.device("cpu"))
    assert durations.preparation_seconds([SMALL], tiny, "cpu") == {}


STEP = 0.3


def _steps(preset):
    """A run's work in steps of training: validating an image is a third of training on it."""
    return (preset.samples + preset.val_images / 3) / preset.batch


@pytest.fixture
def slow_steps(monkeypatch):
    """A clock on which every timed step takes STEP seconds; return the threads that steps have run with."""
    ticks, threads = itertools.count(), []

    def now():
        threads.append(torch.get_num_threads())
        return STEP * next(ticks)

    monkeypatch.setattr(durations, "time", SimpleNamespace(perf_counter=now))
    return threads


@pytest.mark.parametrize(
    ("preset", "design"),
    [
        ("demo", SMALL),
        ("demo-detection", SMALL),
        ("cpu-classification", Design.parse("vit_tiny@192 vit_small@96; interactions=6; merge=separate-heads")),
    ],
)
def test_the_speed_of_this_machine_is_that_of_steps_timed_on_it(slow_steps, preset, design):
    recipe, before = proxy.preset(preset), torch.get_num_threads()
    expected, _ = ProxyEvaluator(preset).expect_seconds([design], "cpu", threads=1)
    assert expected == pytest.approx(_steps(recipe) * STEP)
    assert set(slow_steps) == {1}
    assert torch.get_num_threads() == before


def test_a_cheaper_design_is_expected_to_take_less_than_the_one_that_was_timed(slow_steps):
    demo = proxy.preset("demo")
    expected, _ = ProxyEvaluator("demo").expect_seconds([SMALL, LARGE], "cpu", threads=1)
    ratio = durations.trial_seconds(SMALL, demo, "cpu") / durations.trial_seconds(LARGE, demo, "cpu")
    assert expected == pytest.approx(_steps(demo) * STEP * (1 + ratio) / 2)


def test_it_is_told_by_phase_in_ranges():
    lines = Forecast(full_run=90.0, work=24.0, workers=2, preparation={"scenes": 15.0, "vit_tiny": 300.0}).lines()
    assert lines == [
        "about 1 min 30 s to 3 min 00 s a design, 23 min 15 s to 41 min 15 s in all; the first designs will tell",
        "of it once, then cached: scenes 15 s, vit_tiny 5 min 00 s",
    ]


class Expecting:
    """Expects every design to take 7 seconds, but on one worker it raises."""

    def expect_seconds(self, designs, device, threads):
        if threads == 8:
            raise MemoryError
        self.designs = designs
        return 7.0, {}


def test_designs_of_all_costs_stand_for_a_pool():
    pool, evaluator = synthetic_pool(), Expecting()
    assert forecast(evaluator, pool, 24.0, ["cpu", "cpu"], 8) == Forecast(full_run=7.0, work=24.0, workers=2)
    gflops = pool.costs["gflops_built"]
    asked = [gflops[pool.row_of(design)] for design in evaluator.designs]
    assert len(asked) == 32
    assert asked == sorted(asked)
    ranks = np.searchsorted(np.sort(gflops), asked)
    assert np.diff(ranks).max() < len(pool) / 16
    assert forecast(evaluator, pool, 24.0, ["cpu"], 8) is None, "it raises"
    assert forecast(ReplayEvaluator({}), pool, 24.0, ["cpu"], 2) is None, "it cannot tell"


def test_time_left_comes_from_costs_until_an_evaluation_tells():
    clock = Clock(Forecast(full_run=100.0, work=10.0, workers=2, preparation={"scenes": 50.0}))
    left = clock.left(10.0, 2, [], [])
    assert left == pytest.approx(50 + 10 * 150 / 2, abs=1), "from the middle of the range"
    assert clock.left(10.0, 2, [], [400.0]) == pytest.approx(400 + 750, abs=1), "a phase that runs tells its own end"
    assert clock.left(9.5, 2, [(15.0, 0.5)], []) == pytest.approx(9.5 * 30 / 2), "half a run in 15 seconds"
    clock.ended(20.0, 1.0)
    assert clock.left(9.0, 2, [], []) == pytest.approx(9.0 * 20 / 2)
    assert Clock(None).left(10.0, 2, [], []) is None
