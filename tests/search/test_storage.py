"""One contract for every storage, and what Optuna itself makes of the same study."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import optuna
import pytest

from piip_explore.errors import InputError
from piip_explore.search import storage
from piip_explore.search.storage import (
    COMPLETE,
    FAIL,
    PRUNED,
    RUNNING,
    WAITING,
    NewTrial,
    NoSuchStudyError,
    open_study,
    relational,
    schema,
)

DIRECTIONS = ("maximize", "minimize")
TRIAL = NewTrial(
    {"model": "vit_small", "resolution": 896},
    {"model": ["vit_tiny", "vit_small"], "resolution": [448, 896]},
    {"design": "vit_small@896", "fidelity": 1.0, "worker": {"pid": 7}},
    {"gflops": -3.0},
)


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else str(tmp_path / "s.journal")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name


@pytest.fixture
def opener(address: str, name: str) -> Callable[[], storage.StudyStorage]:
    return lambda: open_study(address, name, DIRECTIONS)


def optuna_study(address: str, name: str) -> optuna.Study:
    backend = (
        address
        if "://" in address
        else optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(address))
    )
    return optuna.load_study(study_name=name, storage=backend)


def test_a_finished_trial_reads_back_the_same_here_and_in_optuna(opener, address, name):
    store = opener()
    number = store.create(TRIAL, RUNNING)
    store.finish(number, COMPLETE, [0.5, 97.0], {"seconds": 1.5}, {"memory": 2.0})
    for reader in (store, opener()):
        table = reader.table
        assert (table.state, table.values) == ([COMPLETE], [[0.5, 97.0]])
        assert table.params_of(0) == dict(TRIAL.params)
        assert table.attributes_of(0) == {**TRIAL.attributes, "seconds": 1.5}
        assert {k: v[0] for k, v in table.constraints.items()} == {"gflops": -3.0, "memory": 2.0}
        assert table.started[0] <= table.completed[0]
        assert table.directions == list(DIRECTIONS)
    trial = optuna_study(address, name).trials[0]
    assert trial.state == optuna.trial.TrialState.COMPLETE
    assert trial.values == [0.5, 97.0]
    assert trial.params == dict(TRIAL.params)
    assert trial.user_attrs == {**TRIAL.attributes, "seconds": 1.5}
    assert trial.constraints == {"gflops": -3.0, "memory": 2.0}
    assert trial.datetime_start <= trial.datetime_complete


def test_every_state_is_the_same_in_optuna(opener, address, name):
    store = opener()
    for _ in range(5):
        store.create(TRIAL, RUNNING)
    store.finish(0, COMPLETE, [1.0, 2.0], {}, {})
    store.finish(1, PRUNED, [0.5, 2.0], {}, {})
    store.finish(2, FAIL, None, {"failure": "out of memory"}, {})
    store.release(3, {"interruptions": 1})
    states = [COMPLETE, PRUNED, FAIL, WAITING, RUNNING]
    assert store.table.state == opener().table.state == states
    trials = optuna_study(address, name).trials
    assert [int(trial.state) for trial in trials] == states
    assert trials[1].values == [0.5, 2.0]
    store.claim(3, {"device": "cpu"})
    assert opener().table.state[3] == RUNNING
    assert opener().table.attributes_of(3)["device"] == "cpu"


def test_a_write_hides_no_news_of_others(opener):
    one, other = opener(), opener()
    first = one.create(TRIAL, RUNNING)
    other.refresh()
    one.finish(first, COMPLETE, [0.1, 1.0], {}, {})
    second = other.create(TRIAL, RUNNING)
    assert other.refresh() == {first, second}
    assert other.refresh() <= {second}


def test_a_refresh_reports_what_others_changed(opener):
    one, other = opener(), opener()
    first = one.create(TRIAL, RUNNING)
    second = one.create(TRIAL, RUNNING)
    assert other.refresh() == {first, second}
    one.finish(first, COMPLETE, [0.1, 1.0], {}, {})
    assert first in other.refresh()
    assert other.table.state == [COMPLETE, RUNNING]
    one.set_study_attribute("space", {"axes": [1, 2]})
    other.refresh()
    assert other.table.study_attributes == {"space": {"axes": [1, 2]}}


def test_choices_may_grow_at_their_end(opener, address, name):
    store = opener()
    store.create(TRIAL, WAITING)
    wider = {"model": ["vit_tiny", "vit_small", "vit_base"], "resolution": [448, 896]}
    store = opener()
    store.create(NewTrial({"model": "vit_base", "resolution": 448}, wider), WAITING)
    assert opener().table.params["model"] == ["vit_small", "vit_base"]
    assert [trial.params["model"] for trial in optuna_study(address, name).trials] == ["vit_small", "vit_base"]


def test_a_lease_is_held_until_it_is_left(opener):
    one, other = opener(), opener()
    assert not other.alive("a")
    one.join("a")
    assert other.alive("a")
    assert one.alive("a")
    one.leave()
    assert not other.alive("a")


@pytest.mark.parametrize("address", ["sqlite", "postgresql"], indirect=True)
def test_a_silent_machine_loses_its_lease(opener):
    one, other = opener(), opener()
    one.join("a")

    def silence(seconds: float) -> None:
        """Let the last beat be that long ago."""
        one.server.optuna.set_study_system_attr(one._study_id, relational._LEASE + "a", one.server.time() - seconds)
        one._beaten = time.monotonic() - seconds

    silence(relational.LEASE_SECONDS / 2)
    assert other.alive("a")
    silence(relational.LEASE_SECONDS + 1)
    assert not other.alive("a")
    one.beat()
    assert other.alive("a")


def test_times_are_utc_wherever_the_program_runs(opener, monkeypatch):
    before = datetime.now(UTC).replace(tzinfo=None).isoformat()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        store = opener()
        store.finish(store.create(TRIAL, RUNNING), COMPLETE, [0.5, 97.0], {}, {})
        table = opener().table
    finally:
        monkeypatch.undo()
        time.tzset()
    assert before <= table.started[0] <= table.completed[0] <= datetime.now(UTC).replace(tzinfo=None).isoformat()


@pytest.mark.parametrize("address", ["sqlite", "postgresql"], indirect=True)
def test_another_schema_is_read_through_optunas_objects(opener, monkeypatch):
    store = opener()
    store.finish(store.create(TRIAL, RUNNING), COMPLETE, [float("inf"), 97.0], {"seconds": 1.5}, {"memory": 2.0})
    store.create(TRIAL, WAITING)
    expected = store.table
    monkeypatch.setattr(schema, "_SCHEMA", schema._SCHEMA + 1)
    other = opener()
    assert vars(other.table) == vars(expected)
    store.claim(1, {"device": "cpu"})
    assert other.refresh() is None
    assert other.table.state == [COMPLETE, RUNNING]


def test_a_study_that_is_deleted_meanwhile_is_an_error(opener, address, name):
    store = opener()
    backend = optuna_study(address, name)._storage
    optuna.delete_study(study_name=name, storage=backend)
    with pytest.raises(InputError, match="was deleted"):
        store.refresh()


def test_infinite_values_survive(opener):
    store = opener()
    store.create(TRIAL, RUNNING)
    store.finish(0, COMPLETE, [float("-inf"), 2.0], {}, {})
    assert opener().table.values == [[float("-inf"), 2.0]]


def test_two_studies_share_a_storage(address, name):
    one, two = (open_study(address, name + suffix, DIRECTIONS) for suffix in "ab")
    two.create(TRIAL, WAITING)
    one.create(TRIAL, RUNNING)
    two.create(TRIAL, RUNNING)
    two.finish(1, COMPLETE, [1.0, 1.0], {}, {})
    one.refresh()
    assert (one.table.state, two.table.state) == ([RUNNING], [WAITING, COMPLETE])


def test_nothing_is_created_by_a_look(address, name):
    with pytest.raises(NoSuchStudyError):
        open_study(address, name)
    with pytest.raises(NoSuchStudyError):
        open_study(address, name)


def test_an_unknown_study_is_an_error_that_lists_the_known(opener, address):
    opener()
    with pytest.raises(NoSuchStudyError, match=r"holds no study 'nope': it holds .*test_an_unknown"):
        open_study(address, "nope")


def test_a_study_that_optuna_wrote_is_read(opener, address, name):
    opener()
    study = optuna_study(address, name)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        trial.set_constraint("limit", 1.0)
        trial.set_user_attr("note", "by hand")
        return trial.suggest_int("depth", 1, 9), trial.suggest_float("width", 0, 1)

    study.optimize(objective, n_trials=3)
    table = opener().table
    trials = study.trials
    assert table.values == [trial.values for trial in trials]
    assert [table.params_of(i) for i in range(3)] == [trial.params for trial in trials]
    assert table.attributes["note"] == ["by hand"] * 3
    assert table.constraints["limit"] == [1.0] * 3
    assert table.state == [COMPLETE] * 3
