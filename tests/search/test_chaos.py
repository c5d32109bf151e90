"""A search whose workers are killed at random for a minute, and whose storage is damaged once on the way."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from piip_explore.search.columns import Columns, read
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING, NoSuchStudyError

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
TRIALS = 300
WORKERS = 4
DELAY = 0.6

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a search as a program of its own; whatever still runs at the end of a test is killed."""
    started = []

    def start(storage: str, log: Path, trials: int = TRIALS, delay: float = DELAY) -> subprocess.Popen:
        command = [
            sys.executable,
            "-m",
            "tests.search.replayed",
            storage,
            "chaos",
            str(trials),
            str(WORKERS),
            str(delay),
        ]
        started.append(subprocess.Popen(command, cwd=ROOT, stderr=log.open("ab"), stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The worker processes, without multiprocessing's resource tracker."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def wreak_havoc(process: subprocess.Popen, damage: Callable[[], None], rng: random.Random) -> int:
    """Kill a random worker every second or so until the search ends or the time is over; damage once, midway."""
    began, killed, damaged = time.monotonic(), 0, False
    while process.poll() is None and time.monotonic() - began < SECONDS:
        time.sleep(rng.uniform(0.2, 1.4))
        if not damaged and time.monotonic() - began > SECONDS / 4:
            damage()
            damaged = True
        victims = workers_of(process)
        if victims:
            victim = rng.choice(victims)
            try:
                victim.kill()
                killed += 1
            except psutil.NoSuchProcess:
                continue
    assert damaged, "the search ended before its storage was damaged"
    return killed


def check_accounts(study: Columns, trials: int = TRIALS, rung: int = 0) -> Counter[str]:
    """Every design of the budget is complete exactly once, or given up with a reason; nothing is left open."""
    assert not ((study.state == RUNNING) | (study.state == WAITING)).any()
    mine = study.select((study.attributes["rung"] == rung).to_numpy().nonzero()[0])
    done = mine.attributes["id"][(mine.state == COMPLETE) | (mine.state == PRUNED)]
    assert done.is_unique
    failed = mine.attributes.reindex(columns=["id", "failure", "final", "retry_of"])[mine.state == FAIL]
    assert failed["failure"].notna().all()
    poison = failed[failed["final"].notna()]
    assert set(done).isdisjoint(poison["id"])
    assert len(done) + len(poison) == trials
    superseded = set(mine.number[failed.index]) - set(mine.number[poison.index])
    retried = mine.attributes.reindex(columns=["retry_of"])["retry_of"].dropna().astype(int)
    assert retried.is_unique, "a failed trial is queued again exactly once"
    assert superseded == set(retried)
    return Counter(complete=len(done), poison=len(poison), killed=len(failed))


def test_killed_workers_and_a_torn_journal(begin, tmp_path):
    path = tmp_path / "chaos.journal"
    log = tmp_path / "log"

    def tear() -> None:
        with path.open("ab") as file:
            file.write(b'{"op_code":6,"trial_id":3,"state":1,"val')

    process = begin(str(path), log)
    killed = wreak_havoc(process, tear, random.Random(1))
    assert process.wait(120) == 0, log.read_text()
    counts = check_accounts(read(path, "chaos"))
    assert killed >= 20
    assert counts["killed"] >= 8
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

    process = begin(postgres_url, log)
    killed = wreak_havoc(process, cut_connections, random.Random(2))
    assert process.wait(120) == 0, log.read_text()
    counts = check_accounts(read(postgres_url, "chaos"))
    assert killed >= 20
    assert counts["killed"] >= 8
    assert "not/so" not in log.read_text()
    assert "not%2F" not in log.read_text()


def test_a_killed_search_goes_on_where_it_was(begin, tmp_path):
    path, log = tmp_path / "chaos.journal", tmp_path / "log"
    process = begin(str(path), log, trials=60, delay=0.2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not path.exists() or path.read_bytes().count(b'"state":1') < 12):
        time.sleep(0.1)
    victims = workers_of(process)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(victims, timeout=10)
    assert not alive, "workers end with their search"
    finished = set(read(path, "chaos").attributes["id"][read(path, "chaos").state == COMPLETE])
    assert begin(str(path), log, trials=60, delay=0.02).wait(120) == 0, log.read_text()
    study = read(path, "chaos")
    check_accounts(study, 60)
    assert finished <= set(study.attributes["id"][study.state == COMPLETE])
    reasons = study.attributes["failure"][study.state == FAIL]
    assert set(reasons) == {"the search that ran it ended without a word"}


def test_searches_join_and_leave_a_shared_study(begin, postgres_url, tmp_path):
    logs = [tmp_path / "a", tmp_path / "b"]
    first, second = (begin(postgres_url, log, trials=100, delay=0.15) for log in logs)
    deadline = time.monotonic() + 120

    def hosts() -> Counter[int]:
        """Finished trials by search: what runs when a search is told to stop is queued again and may change hands."""
        try:
            study = read(postgres_url, "chaos")
        except NoSuchStudyError:
            return Counter()
        done = study.attributes.reindex(columns=["worker"])["worker"][study.state == COMPLETE].dropna()
        return Counter(worker["pid"] for worker in done)

    while time.monotonic() < deadline and not (len(hosts()) == 2 and min(hosts().values()) > 3):
        time.sleep(0.3)
    first.terminate()
    assert first.wait(60) == 1, logs[0].read_text()
    assert second.wait(120) == 0, logs[1].read_text()
    check_accounts(read(postgres_url, "chaos"), 100)
    assert min(hosts().values()) > 3, "both did their part"
