"""Ctrl-C in each phase of a search: one line, and nothing is lost. How soon, benchmarks/results/stopping.csv says."""

import subprocess

import pandas as pd
import pytest

from benchmarks import stopping
from piip_explore.search.columns import read
from piip_explore.search.storage import RUNNING, WAITING


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def study(folder):
    return read(folder / "studies/small.journal", "small")


def check(end, folder):
    assert (end.status, end.err) == (1, "")
    assert end.out.count("Stopping") == 1
    assert "nothing that was finished is lost" in end.out
    assert study(folder).state.tolist() == [WAITING]


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["data", "trial"])
def test_a_search_that_is_stopped_is_resumed(tmp_path, cache, phase):
    check(stopping.stopped(phase, tmp_path, cache), tmp_path)
    assert bool(list(tmp_path.rglob("*.checkpoint"))) == (phase == "trial"), "what was trained is kept"
    command, environment = stopping.search("quick"), stopping.environment(cache)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert study(tmp_path).full.sum() == 1


@pytest.mark.slow
def test_stopping_what_trains_a_supernet_or_waits_for_it_keeps_what_was_trained(tmp_path, cache):
    check(stopping.stopped("supernet", tmp_path, cache), tmp_path)
    (kept,) = (cache / "supernets").glob("*.checkpoint")
    content = kept.read_bytes()
    check(stopping.stopped("lock", tmp_path, cache), tmp_path)
    assert kept.read_bytes() == content


@pytest.mark.slow
def test_a_search_that_is_stopped_while_it_ends_has_its_result(tmp_path, cache):
    end = stopping.stopped("ending", tmp_path, cache)
    assert (end.status, end.err) in {(0, ""), (1, "piip-explore: interrupted\n")}, "the latter where it prints already"
    assert study(tmp_path).full.sum() == 1
    assert RUNNING not in study(tmp_path).state


def test_all_phases_were_measured():
    assert pd.read_csv(stopping.RESULTS)["phase"].tolist() == list(stopping.PHASES)
