"""What a search would do, as `--dry-run` says it."""

from piip_explore.search import preview
from piip_explore.search.evaluators import Outcome, Place
from piip_explore.search.launch import Request
from tests.search.replayed import Troubled, replayed_pool, start


def test_what_is_left_is_said_in_full_runs_and_device_hours(tmp_path, monkeypatch):
    """Two of four runs took 30 minutes each."""
    pool, request, path = replayed_pool(), Request(trials=4, sampler="exhaustive"), str(tmp_path / "s.journal")
    launch = start(pool, Troubled({}), path, "s", request)
    study = launch.study
    for _ in range(2):
        study.complete(study.next(Place("cpu")), Outcome("ok", 40.0, None, 1800.0))
    monkeypatch.setattr(preview, "prepared", lambda *_: (study.store, study.record, pool, launch.sampler))
    lines = preview.plan(pool.space, Troubled({}), "s", path, request)
    assert lines[-2:] == [
        "At 1 of a full run: 4 planned, 2 done",
        "Left to do: as much as 2 full runs, about 1 device-hours as fast as so far",
    ]
