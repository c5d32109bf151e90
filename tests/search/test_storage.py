"""Both storages: the contract, what Optuna itself makes of the same study, and what befalls servers."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import optuna
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from piip_explore.errors import InputError
from piip_explore.search import storage
from piip_explore.search.storage import (
    COMPLETE,
    FAIL,
    PRUNED,
    RESULT,
    RUNNING,
    WAITING,
    LockLostError,
    NewTrial,
    StudyStorage,
    WaitEndedError,
    leases,
    patience,
    server,
)
from piip_explore.search.storage.reader import tables
from piip_explore.testing.storages import DIRECTIONS, TRIAL, StorageContract
from tests.search.replayed import until


@pytest.fixture(params=["journal", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else str(tmp_path / "s.journal")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name


@pytest.fixture
def opener(address: str, name: str) -> Callable[[], storage.StudyStorage]:
    return lambda: StudyStorage(address, name, DIRECTIONS)


def optuna_study(address: str, name: str) -> optuna.Study:
    backend = (
        address
        if "://" in address
        else optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(address))
    )
    return optuna.load_study(study_name=name, storage=backend)


class TestJournal(StorageContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path / "s.journal"

    def address(self):
        return str(self.path)


class TestPostgreSQL(StorageContract):
    @pytest.fixture(autouse=True)
    def server(self, postgres_url):
        self.url = postgres_url

    def address(self):
        return self.url


def test_a_finished_trial_is_the_same_in_optuna(opener, address, name):
    store = opener()
    number = store.create(TRIAL, RUNNING)
    store.finish(number, COMPLETE, [0.5, 97.0], {RESULT: {"seconds": 1.5}})
    trial = optuna_study(address, name).trials[0]
    assert trial.state == optuna.trial.TrialState.COMPLETE
    assert trial.values == [0.5, 97.0]
    assert trial.params == dict(TRIAL.params)
    assert trial.user_attrs == {**TRIAL.attributes, RESULT: {"seconds": 1.5}}
    assert trial.constraints == {"gflops": -3.0}
    assert trial.datetime_start <= trial.datetime_complete


def test_every_state_is_the_same_in_optuna(opener, address, name):
    store = opener()
    for _ in range(5):
        store.create(TRIAL, RUNNING)
    store.finish(0, COMPLETE, [1.0, 2.0], {})
    store.finish(1, PRUNED, [0.5, 2.0], {})
    store.finish(2, FAIL, None, {"failure": "out of memory"})
    store.release(3)
    trials = optuna_study(address, name).trials
    assert [int(trial.state) for trial in trials] == [COMPLETE, PRUNED, FAIL, WAITING, RUNNING]
    assert trials[1].values == [0.5, 2.0]


def test_choices_may_grow_at_their_end(opener, address, name):
    store = opener()
    store.create(TRIAL, WAITING)
    wider = {"model": ["vit_tiny", "vit_small", "vit_base"], "resolution": [448, 896]}
    store = opener()
    store.create(NewTrial({"model": "vit_base", "resolution": 448}, wider), WAITING)
    assert opener().table.params["model"] == ["vit_small", "vit_base"]
    assert [trial.params["model"] for trial in optuna_study(address, name).trials] == ["vit_small", "vit_base"]


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
def test_a_silent_machine_loses_its_lease(opener):
    one, other = opener(), opener()
    one.join("a")
    held = one._medium.leases

    def silence(seconds: float) -> None:
        """Let the last beat be that long ago."""
        held._write(lambda optuna: held._set(optuna, held._time() - seconds))
        held._beaten = time.monotonic() - seconds

    silence(leases.LEASE_SECONDS / 2)
    assert other.alive("a")
    silence(leases.LEASE_SECONDS + 1)
    assert not other.alive("a")
    one.beat()
    assert other.alive("a")


def test_times_are_utc_wherever_the_program_runs(opener, monkeypatch):
    before = datetime.now(UTC).replace(tzinfo=None).isoformat()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        store = opener()
        store.finish(store.create(TRIAL, RUNNING), COMPLETE, [0.5, 97.0], {})
        table = opener().table
    finally:
        monkeypatch.undo()
        time.tzset()
    assert before <= table.started[0] <= table.completed[0] <= datetime.now(UTC).replace(tzinfo=None).isoformat()


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
def test_tables_of_another_version_are_refused(opener, address, name, monkeypatch):
    opener()
    monkeypatch.setattr(tables, "_SCHEMA", tables._SCHEMA + 1)
    with pytest.raises(InputError, match=f"tables of version {tables._SCHEMA - 1}, expected {tables._SCHEMA}"):
        StudyStorage(address, name)


def test_a_study_that_is_deleted_meanwhile_is_an_error(opener, address, name):
    store = opener()
    backend = optuna_study(address, name)._storage
    optuna.delete_study(study_name=name, storage=backend)
    with pytest.raises(InputError, match="was deleted"):
        store.refresh()


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


@pytest.fixture
def database(postgres_url) -> Iterator[Connection]:
    """A connection that does what an administrator, or a failover, does to a database."""
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def cut_all(database: Connection) -> None:
    database.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    )


def test_a_machine_that_vanished_with_the_lock_loses_it(postgres_url, monkeypatch, caplog):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 3.0)
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.0)
    vanished, other = (StudyStorage(postgres_url, "s", DIRECTIONS) for _ in range(2))
    with vanished.lock():  # from here on, nothing is heard of it: the connection stays open, as one to a dead machine
        with other.lock():
            other.create(TRIAL, RUNNING)
        with pytest.raises(LockLostError):
            vanished.create(TRIAL, RUNNING)
    assert f"another search holds the lock of {other.url}, process {os.getpid()} on " in caplog.text
    assert other.table.state == [RUNNING]


def test_a_wait_for_the_lock_ends_when_the_search_is_to_stop(postgres_url):
    one, other = (StudyStorage(postgres_url, "s", DIRECTIONS) for _ in range(2))
    other.patience.limit = 0.0
    with one.lock(), pytest.raises(WaitEndedError, match="another search holds the lock"), other.lock():
        pytest.fail("both hold the lock")


def test_a_lock_whose_connection_was_cut_creates_nothing(postgres_url, database):
    store = StudyStorage(postgres_url, "s", DIRECTIONS)
    with store.lock():
        cut_all(database)
        with pytest.raises(LockLostError):
            store.create(TRIAL, RUNNING)
    assert StudyStorage(postgres_url, "s").table.state == []


def test_a_database_that_is_read_only_for_a_while_is_waited_for(postgres_url, database, monkeypatch, caplog):
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.0)
    store = StudyStorage(postgres_url, "s", DIRECTIONS)
    name = make_url(postgres_url).database
    database.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    cut_all(database)
    with ThreadPoolExecutor(1) as pool:
        created = pool.submit(store.create, TRIAL, WAITING)
        until(lambda: "read-only transaction: waiting" in caplog.text)
        database.execute(text("SET default_transaction_read_only = off"))
        database.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        cut_all(database)
        assert created.result() == 0
    assert StudyStorage(postgres_url, "s").table.state == [WAITING]


def test_a_database_that_stays_read_only_is_one_sentence(postgres_url, database, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE_SECONDS", 0.0)
    store = StudyStorage(postgres_url, "s", DIRECTIONS)
    database.execute(text(f"ALTER DATABASE {make_url(postgres_url).database} SET default_transaction_read_only = on"))
    cut_all(database)
    with pytest.raises(InputError, match=r"^lost postgresql.*read-only transaction: gave up") as error:
        store.create(TRIAL, WAITING)
    assert "\n" not in str(error.value)


def test_a_start_waits_for_a_free_connection(postgres_url, monkeypatch, caplog):
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.0)
    StudyStorage(postgres_url, "s", DIRECTIONS).leave()
    engine = create_engine(postgres_url, poolclass=NullPool)
    held: list[Connection] = []
    with suppress(OperationalError):
        held.extend(iter(engine.connect, None))
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(StudyStorage, postgres_url, "s")
        until(lambda: "waiting" in caplog.text)
        for connection in held:
            connection.close()
        assert opened.result().table.directions == list(DIRECTIONS)


def test_notes_are_where_optuna_dashboard_keeps_them(opener, address, name):
    one = opener()
    other = opener()
    with one.lock():
        for _ in range(2):
            one.create(TRIAL, WAITING)
    assert one.notes() == {}
    long = "# why\n" + "ä" * 5000
    one.write_note(1, long, 0)
    other.refresh()
    assert other.notes() == {1: storage.Note(long, 1)}
    other.write_note(1, "short #good", 1)
    one.refresh()
    assert one.notes() == {1: storage.Note("short #good", 2)}
    with pytest.raises(InputError, match="the note on trial 1 was changed by somebody else"):
        one.write_note(1, "mine", 1)
    assert opener().notes() == {1: storage.Note("short #good", 2)}
    # What optuna-dashboard 0.21 reads: pieces of up to 2045 characters, all of those that there are, in order.
    study = optuna_study(address, name)
    trial, found = study.trials[1]._trial_id, study._storage.get_study_system_attrs(study._study_id)
    assert found[f"dashboard:{trial}:note_ver"] == 2
    pieces = {key: value for key, value in found.items() if key.startswith(f"dashboard:{trial}:note_str:")}
    assert "".join(pieces[f"dashboard:{trial}:note_str:{place}"] for place in range(len(pieces))) == "short #good"
    assert len(pieces) == 3
