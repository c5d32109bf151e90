"""What training takes: by hand, and as a limit on a space."""

import re

import numpy as np
import pytest

from piip_explore import SearchSpace
from piip_explore.cost import count, traffic
from piip_explore.cost.design_memory import training_gb
from piip_explore.cost.table import enumerate_space
from piip_explore.errors import InputError
from piip_explore.search import pool as pools
from piip_explore.search.pool import Limits

SPACE = """
name: small
branches:
  - {models: ["vit[depth=12,dim=32,heads=2]"], resolutions: [64, 96, 128, 160]}
  - {models: ["vit[depth=12,dim=64,heads=2]"], resolutions: [32, 64]}
constraints: {decreasing_resolution: yes}
"""


def limited(bound):
    return SearchSpace.parse(SPACE.replace("yes}", f"yes, max_train_gb: {bound}}}"), "test")


def test_by_hand():
    assert training_gb(params=1_000_000, kept=500_000, batch=8) == (16e6 + 8 * 4 * 500_000) / 1e9


def test_a_limit_keeps_the_designs_that_fit_and_search_keeps_the_same():
    everything = enumerate_space(SearchSpace.parse(SPACE, "test"))
    taken = everything.training_gb(16)
    design = everything.design(3)
    assert taken[3] == pytest.approx(training_gb(count(design, "built").params, traffic(design).kept, 16))
    bound = f"{np.median(taken):.9f}@16"
    table = enumerate_space(limited(bound))
    wanted = {str(everything.design(int(row))) for row in np.flatnonzero(taken <= float(bound.partition("@")[0]))}
    assert 0 < len(table) < len(everything)
    assert {str(table.design(row)) for row in range(len(table))} == wanted
    pool = pools.load(limited(bound), Limits(), "published")
    assert {str(pool.design(row)) for row in range(len(pool))} == wanted
    assert len(enumerate_space(SearchSpace.parse(SPACE, "test"), max_train_gb=bound)) == len(table)
    sentence = r"no design of the space 'small' trains within 1e-06 GB at a batch of 16: the least demanding takes 0\."
    for ask in (enumerate_space, lambda space: pools.load(space, Limits(), "published")):
        with pytest.raises(InputError, match=sentence):
            ask(limited("1e-6@16"))


def test_a_batch_of_one_is_understood():
    assert limited(24).constraints.max_train_gb == limited("24@1").constraints.max_train_gb == "24@1"


@pytest.mark.parametrize("bound", ["24 GB", "24@", "@4", "24@0", "24@1.5", "nan@4", "inf@4", "-1@4", "24@-4"])
def test_a_limit_that_is_not_one(bound):
    sentence = re.escape(f"training memory limit '{bound}': expected GB@images per step, such as 24@16")
    with pytest.raises(InputError, match=f"constraints.max_train_gb: {sentence}"):
        limited(f"'{bound}'")
