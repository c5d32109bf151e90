"""What a new study tries first."""

import numpy as np

from piip_explore import published
from piip_explore.design import Design
from piip_explore.search.evaluators import Place
from piip_explore.search.launch import Request
from piip_explore.testing.synthetic import evaluator
from tests.search.replayed import replayed_pool, start

SPACE = """
name: around PIIP-TSB
branches:
  - {models: vit_tiny, resolutions: [1120, 1344, 1568], windows: w14}
  - {models: vit_small, resolutions: [672, 896, 1120], windows: w14}
  - {models: vit_base, resolutions: [448, 560, 672], windows: w14}
interactions: [6, 12]
merge: linear
constraints: {decreasing_resolution: yes}
"""


def test_published_designs_of_the_space_are_tried_first_where_asked_for(tmp_path):
    pool = replayed_pool(SPACE)
    known = {design.id for design in map(Design.parse, published.load()["design"]) if pool.row_of(design) is not None}
    cheapest = [pool.design(int(row)).id for row in np.argsort(pool.costs["gflops_published"])[: len(known)]]
    assert known, "the space holds published designs"
    assert known != set(cheapest)
    for asked, expected in ((True, known), (False, set(cheapest))):
        request = Request(trials=len(known) + 1, sampler="exhaustive", start_published=asked)
        study = start(pool, evaluator(pool), str(tmp_path / f"{asked}.journal"), "s", request).study
        assert {study.next(Place("cpu")).design_id for _ in expected} == expected
