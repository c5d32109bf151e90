"""A search some of whose workers are killed at random, and whose storage is damaged once on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from piip_explore.search.columns import read
from piip_explore.search.storage import COMPLETE, FAIL, RUNNING, NoSuchStudyError
from piip_explore.search.storage.journalfile import JournalFile
from piip_explore.search.storage.patience import Patience
from tests.search.accounts import check_accounts
from tests.search.replayed import let_in, until

ROOT = Path(__file__).parents[2]
TRIALS = 120
WORKERS = 4
DELAY = 0.6
KILLS = 12
KILLS_IN_A_ROW = 6
"""Kills without a finished trial in between; after a dozen failures in a row, a search gives up by design."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a search as a program of its own; whatever still runs at the end of a test is killed."""
    started = []

    def start(storage: str, log: Path, *arguments: str, trials: int = TRIALS) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.search.replayed", storage, "chaos", str(trials), str(WORKERS)]
        command += arguments
        started.append(subprocess.Popen(command, cwd=ROOT, stderr=log.open("ab"), stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def done_by(storage: str, state: int = COMPLETE) -> Counter[int]:
    """How many trials of the study each search has finished (or has in another state)."""
    try:
        study = read(storage, "chaos")
    except NoSuchStudyError:
        return Counter()
    workers = study.attributes.reindex(columns=["worker"])["worker"][study.state == state].dropna()
    return Counter(worker["pid"] for worker in workers)


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The worker processes, without multiprocessing's resource tracker."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def wreak_havoc(process: subprocess.Popen, storage: str, damage: Callable[[], None], rng: random.Random) -> int:
    """Kill a random worker every second or so, and damage the storage once; return how many were killed."""
    killed, damaged, done, in_a_row = 0, False, 0, 0
    while process.poll() is None and (not damaged or killed < KILLS):
        time.sleep(rng.uniform(0.2, 1.4))
        before, done = done, done_by(storage).total()
        if done > before:
            in_a_row = 0
        if not damaged and done > TRIALS / 4:
            damage()
            damaged = True
        victims = workers_of(process)
        if victims and in_a_row < KILLS_IN_A_ROW:
            victim = rng.choice(victims)
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
            killed, in_a_row = killed + 1, in_a_row + 1
    assert damaged, "the search ended before its storage was damaged"
    return killed


def test_killed_workers_and_a_torn_journal(begin, tmp_path):
    path = tmp_path / "chaos.journal"
    log = tmp_path / "log"

    def tear() -> None:
        """Leave what a writer leaves that is killed while it writes, and so holds the lock."""
        with JournalFile(path, Patience()).exclusive(), path.open("ab") as file:
            file.write(b'{"op_code":6,"trial_id":3,"state":1,"val')

    process = begin(str(path), log, str(DELAY))
    killed = wreak_havoc(process, str(path), tear, random.Random(1))
    assert process.wait() == 0, log.read_text()
    counts = check_accounts(read(path, "chaos"), TRIALS)
    assert killed >= KILLS
    assert counts["killed"] >= KILLS / 3
    assert path.with_name("chaos.journal.torn").exists()
    assert not log.read_text(), "nothing went wrong that was not handled"


def test_killed_workers_and_a_broken_database_connection(begin, postgres_url, tmp_path):
    from sqlalchemy import create_engine, text

    log = tmp_path / "log"

    def cut_connections() -> None:
        engine = create_engine(postgres_url)
        with engine.connect() as connection:
            cut = connection.execute(
                text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            ).scalar_one()
        engine.dispose()
        assert cut > 0

    process = begin(postgres_url, log, str(DELAY))
    killed = wreak_havoc(process, postgres_url, cut_connections, random.Random(2))
    assert process.wait() == 0, log.read_text()
    counts = check_accounts(read(postgres_url, "chaos"), TRIALS)
    assert killed >= KILLS
    assert counts["killed"] >= KILLS / 3
    assert "not/so" not in log.read_text()
    assert "not%2F" not in log.read_text()


def test_a_killed_search_goes_on_where_it_was(begin, tmp_path):
    path, log, gate = tmp_path / "chaos.journal", tmp_path / "log", tmp_path / "gate"
    gate.mkdir()
    process = begin(str(path), log, f"--gate={gate}", trials=60)
    let_in(gate, process.pid, 12)
    until(lambda: done_by(str(path)).total() == 12 and done_by(str(path), RUNNING).total() == WORKERS)
    finished = set(read(path, "chaos").attributes["id"][read(path, "chaos").state == COMPLETE])
    victims = workers_of(process)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(victims, timeout=120)
    assert not alive, "workers end with their search"
    (gate / "open").touch()
    assert begin(str(path), log, f"--gate={gate}", trials=60).wait() == 0, log.read_text()
    study = read(path, "chaos")
    check_accounts(study, 60)
    assert finished <= set(study.attributes["id"][study.state == COMPLETE])
    assert (
        list(study.attributes["failure"][study.state == FAIL])
        == ["the search that ran it ended without a word"] * WORKERS
    )


def test_searches_join_and_leave_a_shared_study(begin, postgres_url, tmp_path):
    gate, logs = tmp_path / "gate", [tmp_path / "a", tmp_path / "b"]
    gate.mkdir()
    first, second = (begin(postgres_url, log, f"--gate={gate}", trials=60) for log in logs)
    each = {first.pid: WORKERS, second.pid: WORKERS}
    for search, share in each.items():
        let_in(gate, search, share)
    until(lambda: done_by(postgres_url) == each and done_by(postgres_url, RUNNING) == each)
    first.terminate()
    assert first.wait() == 1, logs[0].read_text()
    (gate / "open").touch()
    assert second.wait() == 0, logs[1].read_text()
    check_accounts(read(postgres_url, "chaos"), 60)
    assert done_by(postgres_url) == {first.pid: WORKERS, second.pid: 60 - WORKERS}


def test_a_search_stopped_for_longer_than_its_lease_goes_on(begin, postgres_url, tmp_path):
    """What a laptop does that sleeps. The others take its trials over; when it wakes, nothing is evaluated twice."""
    gate, logs = tmp_path / "gate", [tmp_path / "a", tmp_path / "b"]
    gate.mkdir()
    first = begin(postgres_url, logs[0], f"--gate={gate}", "--lease=5", trials=WORKERS)
    until(lambda: done_by(postgres_url, RUNNING)[first.pid] == WORKERS)
    first.send_signal(signal.SIGSTOP)
    # All that there is to do is the first search's: the second takes it over as soon as the lease has lapsed.
    second = begin(postgres_url, logs[1], f"--gate={gate}", "--lease=5", trials=WORKERS)
    until(lambda: done_by(postgres_url, RUNNING) == {second.pid: WORKERS})
    first.send_signal(signal.SIGCONT)
    (gate / "open").touch()
    assert [first.wait(), second.wait()] == [0, 0], "".join(log.read_text() for log in logs)
    check_accounts(read(postgres_url, "chaos"), WORKERS)
