import numpy as np
import pytest

from piip_explore.cost.table import count_columns, enumerate_space
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.search import pool as pools
from piip_explore.search.pool import Limits
from piip_explore.space import SearchSpace
from piip_explore.testing.synthetic import costs_of
from tests.search.replayed import replayed_pool

POOLED = """
name: pooled
pool: {models: [vit_tiny, vit_small, "vit[depth=6,dim=96,heads=3]"], branches: [2, 3], resolutions: [224, 448, 672]}
interactions: [0, 3, 6]
direction: [both, up]
"""


@pytest.fixture(params=["slots", "pool"])
def pool(request):
    return replayed_pool() if request.param == "slots" else replayed_pool(POOLED)


def test_codes_name_every_design_once(pool):
    assert len(np.unique(pool.codes, axis=0)) == len(pool)
    rows = np.random.default_rng(0).integers(len(pool), size=50)
    assert [pool.find(pool.codes[row]) for row in rows] == rows.tolist()


def test_rows_designs_and_params_agree(pool):
    rows = np.random.default_rng(1).integers(len(pool), size=50).tolist()
    assert [pool.row_of(pool.design(row)) for row in rows] == rows
    params = [pool.params(row) for row in rows]
    table = {name: [values[name] for values in params] for name in params[0]}
    assert pool.find_params(table, range(len(rows))).tolist() == rows
    for row, values in zip(rows, params, strict=True):
        first = pool.design(row).branches[0]
        assert values.get("branch1.model", first.model) == first.model
        assert values.get("branch1.resolution", first.resolution) == first.resolution


def test_params_of_no_design_have_no_row(pool):
    params = {name: [value, value] for name, value in pool.params(0).items()}
    name = next(iter(params))
    params[name][1] = "unheard of"
    assert pool.find_params(params, [0, 1]).tolist() == [0, -1]
    del params[name]
    assert pool.find_params(params, [0, 1]).tolist() == [-1, -1]


def test_limits_leave_out_designs_before_any_is_tried():
    whole = replayed_pool()
    limits = Limits(max_gflops=float(np.median(whole.costs["gflops_published"])), max_params=3e8)
    pool = replayed_pool(limits=limits)
    assert 0 < len(pool) < len(whole)
    assert pool.costs["gflops_published"].max() <= limits.max_gflops
    assert pool.costs["params"].max() <= limits.max_params
    over = int(np.argmax(whole.costs["gflops_published"]))
    assert pool.row_of(whole.design(over)) is None
    assert pool.row_of(pool.design(3)) == 3


@pytest.mark.parametrize("accounting", ["published", "built"])
def test_a_search_and_a_list_of_a_space_keep_the_same_limits(accounting):
    table = count_columns(SearchSpace.parse(POOLED, "pooled").columns(), accounting)
    (few, many), (small, large) = (np.quantile(column, [0.2, 0.7]) for column in (table.macs / 1e9, table.params / 1e6))
    limits = f"min_gflops: {few}, max_gflops: {many}, min_mparams: {small}, max_mparams: {large}"
    space = SearchSpace.parse(f"{POOLED}constraints: {{accounting: {accounting}, {limits}}}\n", "pooled")
    listed, pool = enumerate_space(space), pools.load(space, Limits(), "published")
    assert 0 < len(pool) == len(listed) < len(table)
    np.testing.assert_array_equal(pool.costs[f"gflops_{accounting}"], listed.macs / 1e9)


def test_limits_that_nothing_meets_name_the_cheapest():
    with pytest.raises(InputError, match=r"its cheapest has \d"):
        replayed_pool(limits=Limits(max_gflops=1e-3))


def test_a_design_of_another_space_has_no_row(pool):
    assert pool.row_of(Design.parse("vit_huge@448")) is None


def test_only_choices_that_differ_are_axes():
    names = [axis.name for axis in replayed_pool().axes]
    assert "attention" not in names
    assert "branch1.window" not in names
    assert {"branch1.model", "branch3.resolution", "interactions", "direction", "merge"} <= set(names)


def test_limits_as_constraints_are_feasible_at_or_below_zero():
    limits = Limits(max_gflops=100.0)
    assert limits.constraints({"gflops_built": 90.0, "params": 5.0}, "gflops_built") == {"gflops": -10.0}


def test_the_cost_of_a_pool_is_exact():
    from piip_explore import cost

    space = SearchSpace.parse(
        "name: tiny\nbranches:\n  - {models: [vit_tiny], resolutions: [448, 672]}\n"
        "  - {models: [vit_small], resolutions: [224]}\ninteractions: [3]\nconstraints: {max_gflops: 20}\n",
        "tiny",
    )
    pool = pools.load(space, Limits(), "published")
    assert len(pool) == 1
    counted = cost.count(pool.design(0), accounting="published")
    assert pool.costs_of(0)["gflops_published"] == counted.macs / 1e9
    assert pool.costs_of(0)["params"] == counted.params
    assert pool.costs_of(0)["gflops_built"] == cost.count(pool.design(0), accounting="built").macs / 1e9


def test_synthetic_costs_cover_the_space():
    assert set(costs_of(replayed_pool().space)) == {"gflops_published", "gflops_built", "params"}
