from piip_explore.search.evaluators import Outcome, Place
from piip_explore.search.launch import Request
from piip_explore.search.ledger import PoolState
from piip_explore.search.storage import StudyStorage
from tests.search.replayed import Troubled, replayed_pool, start


def test_a_sampler_is_told_rows_losses_and_noise_in_the_order_in_which_they_came(tmp_path):
    pool = replayed_pool()
    request = Request(trials=4, sampler="exhaustive")
    study = start(pool, Troubled({}), str(tmp_path / "s.journal"), "s", request).study
    store = StudyStorage(str(tmp_path / "s.journal"), "s", study.record.directions)
    known = PoolState(store, study.record, pool)
    first, second, third = (study.next(Place("cpu")) for _ in range(3))
    study.complete(second, Outcome("ok", 41.5, 0.25, 60.0))
    known.refresh()
    study.complete(first, Outcome("ok", 40.0, None, 60.0))
    known.refresh()

    observed = known.observations()
    assert [pool.design(int(row)).id for row in observed.rows] == [second.design_id, first.design_id]
    assert observed.losses[:, 0].tolist() == [-41.5, -40.0], "the score is maximised"
    assert observed.standard_error.tolist() == [0.25, 0.0]
    assert [pool.design(int(row)).id for row in observed.pending] == [third.design_id]
    assert observed.taken.sum() == 3
