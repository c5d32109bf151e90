"""Kill searches and their workers at random with SIGKILL, start searches again, and count what became of each design.

    python -m benchmarks.chaos [--storage journal postgresql ray] [--rounds 4] [--kills 18]

A round is a study of replayed designs. On a journal and on PostgreSQL two searches share it, on Ray one search has
the workers of a cluster; a search that is killed is started again at once. What came out is counted from what Optuna
reads, not from our own columns. Every round is a row of chaos.csv; rounds that are there are not run again.

`lost` are designs of the budget without an end, `open` trials without one, `duplicates` designs with two results, and
`given_up` those charged with a failure: no design here deserves that.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import psutil
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from benchmarks.records import RESULTS, Table
from tests.search import postgres
from tests.search.executors.conftest import add_node

STUDY = "chaos"
WORKERS = 2
DELAY = 0.6
LEASE = 20.0
SHARE_OF_SEARCHES = 0.25
ROOT = Path(__file__).parent.parent


@dataclass
class Searches:
    """Searches of one study, as programs of their own, on the `storage` of a round."""

    storage: str
    log: Path
    designs: int
    count: int
    ray: str = ""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start one more search."""
        words = [self.storage, STUDY, str(self.designs), str(WORKERS), str(DELAY), f"--lease={LEASE}"]
        words += [f"--ray={self.ray}"] * bool(self.ray)
        command = [sys.executable, "-m", "tests.search.replayed", *words]
        with self.log.open("ab") as log:
            self.running.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))

    def ended(self) -> bool:
        """Start again what was killed; return whether all have come to their end.

        Raises:
            RuntimeError: a search has failed.
        """
        for process in [each for each in self.running if each.poll() is not None]:
            self.running.remove(process)
            if process.returncode == -9:
                self.start()
            elif process.returncode:
                raise RuntimeError(f"a search ended with status {process.returncode}:\n{self.log.read_text()}")
        return not self.running

    def workers(self) -> list[psutil.Process]:
        """Return the processes that evaluate; on Ray their actors too."""
        found = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if "spawn_main" in line or line.startswith("ray::NodeWorker"):
                    found.append(process)
        return found

    def kill(self, what: str, rng: random.Random) -> bool:
        """Kill a "search" or a "worker"; return whether there was one."""
        victims = self.running if what == "search" else self.workers()
        if not victims:
            return False
        with suppress(psutil.NoSuchProcess):
            rng.choice(victims).kill()
            return True
        return False

    def close(self) -> None:
        """End what still runs."""
        for process in self.running:
            process.kill()
            process.wait()


def wreak_havoc(searches: Searches, kills: int, rng: random.Random) -> Counter[str]:
    """Run a study to its end with so many kills on the way; return how many there were of each kind."""
    killed: Counter[str] = Counter()
    strikes = ["search" if rng.random() < SHARE_OF_SEARCHES else "worker" for _ in range(kills)]
    for _ in range(searches.count):
        searches.start()
    try:
        while not searches.ended():
            time.sleep(rng.uniform(0.1, 2.5))
            if strikes and searches.kill(strikes[-1], rng):
                killed[strikes.pop()] += 1
    finally:
        searches.close()
    return killed


def accounts(storage: str, designs: int) -> dict[str, int]:
    """Count what became of a budget, as Optuna reads the study."""
    place = storage if "://" in storage else optuna.storages.JournalStorage(JournalFileBackend(storage))
    trials = optuna.load_study(study_name=STUDY, storage=place).trials
    results = Counter(trial.user_attrs["id"] for trial in trials if trial.state == TrialState.COMPLETE)
    given_up = {trial.user_attrs["id"] for trial in trials if trial.user_attrs.get("final")}
    return {
        "designs": designs,
        "finished": len(results),
        "duplicates": results.total() - len(results),
        "lost": designs - len(results.keys() | given_up),
        "given_up": len(given_up),
        "open": sum(not trial.state.is_finished() for trial in trials),
    }


@contextmanager
def journal(folder: Path) -> Iterator[Callable[[int], Searches]]:
    """Studies in files, each shared by two searches."""
    yield lambda designs: Searches(str(folder / "chaos.journal"), folder / "log", designs, count=2)


@contextmanager
def postgresql(folder: Path) -> Iterator[Callable[[int], Searches]]:
    """Studies on a server of this round's own, each shared by two searches."""
    with postgres.server() as url:
        yield lambda designs: Searches(url, folder / "log", designs, count=2)


@contextmanager
def ray(folder: Path) -> Iterator[Callable[[int], Searches]]:
    """Studies whose evaluations run on the nodes of a cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        add_node(cluster, num_cpus=0, include_dashboard=False)
        for _ in range(WORKERS):
            add_node(cluster, num_cpus=1)
        path = str(folder / "chaos.journal")
        yield lambda designs: Searches(path, folder / "log", designs, count=1, ray=cluster.address)
    finally:
        cluster.shutdown()


STORAGES = {"journal": journal, "postgresql": postgresql, "ray": ray}


def main() -> None:
    """Run the rounds that the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", nargs="+", choices=list(STORAGES), default=list(STORAGES))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--kills", type=int, default=18)
    parser.add_argument("--designs", type=int, default=50)
    parser.add_argument("--out", type=Path, default=RESULTS / "chaos.csv")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = Table(asked.out, ("storage", "seed"))
    for seed in range(asked.rounds):
        for name in asked.storage:
            if {"storage": name, "seed": seed} in table:
                continue
            with tempfile.TemporaryDirectory() as folder, STORAGES[name](Path(folder)) as make:
                searches = make(asked.designs)
                began = time.monotonic()
                killed = wreak_havoc(searches, asked.kills, random.Random(f"{name} {seed}"))
                row = {"storage": name, "seed": seed, "kills": killed.total(), "of_searches": killed["search"]}
                row |= accounts(searches.storage, asked.designs) | {"seconds": round(time.monotonic() - began)}
            table.append(row)
            print(row, flush=True)


if __name__ == "__main__":
    main()
