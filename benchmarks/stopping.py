"""How many seconds Ctrl-C takes to end a search, in each of its phases.

    python -m benchmarks.stopping

A search is started for each phase, and gets SIGINT as soon as it, or its worker, says that the phase has begun. Writes
benchmarks/results/stopping.csv: seconds until the end, the CPU time in them, and the load of the machine, on which
seconds depend more than on anything here.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
from filelock import FileLock

from piip_explore.search.evaluators import EvaluationTask, Outcome, Progress

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "stopping.csv"
TRAINING = "the run is being trained"
SPACE = """
name: small
pool:
  models: ["vit[depth=6,dim=96,heads=3]", vit_tiny]
  branches: [2]
  resolutions: [448, 672]
interactions: [2, 3]
"""


@dataclass(frozen=True)
class OfSupernets:
    """Scores a design by a proxy run of a second, which starts from its part of a supernet.

    More `scenes`, `shared` samples (the supernet's) or `samples` (the run's own) make one phase as long as is wanted;
    the study is the same.
    """

    scenes: int = 32
    shared: int = 64
    samples: int = 32
    judges_untuned = True

    def describe(self) -> dict[str, object]:
        """Return what identifies the evaluation."""
        return {"kind": "of-supernets"}

    def conditions(self, device: str) -> dict[str, str]:
        """Return constants."""
        return {"code_version": "1", "kernel_backend": "none"}

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        """Train, and say in the worker's log that the run itself has begun."""
        from piip_explore import Design, proxy
        from piip_explore.testing import presets

        preset = presets.tiny(
            name="of-supernets",
            shrink=proxy.Shrink(resolution=28, width=16, patch=4, depth=2),
            train_images=self.scenes,
            val_images=8,
            samples=self.samples,
            rate=1e-3,
            supernet=proxy.SupernetRecipe("everything", self.shared, rate=1e-3, resolutions=(448, 672, 896)),
        )

        def told(seen: int, total: int, loss: float) -> None:
            if seen:
                print(TRAINING, flush=True)
            progress(seen / total)

        design = Design.parse(task.design)
        score = proxy.evaluate(
            design,
            preset,
            fidelity=task.fidelity,
            device=task.device,
            progress=told,
            resume_dir=task.checkpoints,
        )
        return Outcome(score.status, score.value, None, score.seconds)


quick = OfSupernets()
long_data = OfSupernets(scenes=10**6)
long_supernet = OfSupernets(shared=10**5)
long_run = OfSupernets(samples=10**5)


@dataclass(frozen=True)
class Phase:
    """A phase of a search: what evaluates, and what it or its worker prints once the phase has begun."""

    evaluator: str
    begun: str


PHASES = {
    "data": Phase("long_data", "training what .* starts from"),  # the supernet is the first to want them
    "supernet": Phase("long_supernet", "training what .* starts from"),
    "lock": Phase("long_supernet", "waiting for another process"),
    "trial": Phase("long_run", TRAINING),
    "ending": Phase("quick", r"1 done, 0 to do"),
}


@dataclass(frozen=True)
class Stopped:
    """How a search ended: exit status, what it printed, seconds from SIGINT to its end, and CPU time in these."""

    status: int
    out: str
    err: str
    seconds: float
    cpu_seconds: float


def environment(cache: Path) -> dict[str, str]:
    """Return the environment of searches: this checkout, a cache of their own, no GPU."""
    return os.environ | {"PYTHONPATH": str(ROOT), "PIIP_EXPLORE_CACHE": str(cache), "CUDA_VISIBLE_DEVICES": ""}


def search(evaluator: str) -> list[str]:
    """Return the command of a search for one design."""
    words = ["search", "small.yaml", "--workers", "1", "--devices", "cpu", "--trials", "1"]
    return [sys.executable, "-m", "piip_explore", *words, "--evaluator", f"benchmarks.stopping:{evaluator}"]


def stopped(name: str, folder: Path, cache: Path) -> Stopped:
    """Start a search in a folder, stop it in a phase, and wait for its end."""
    phase = PHASES[name]
    (folder / "small.yaml").write_text(SPACE)
    printed, errors = folder / f"{name}.out", folder / f"{name}.err"
    log = folder / "studies" / "small.journal.files" / "logs" / "worker-0.log"
    before, used = len(_text(log)), _cpu_seconds()
    with _held(cache / "supernets" if name == "lock" else None), printed.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            search(phase.evaluator),
            cwd=folder,
            env=environment(cache),
            stdout=out,
            stderr=err,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )
        while not re.search(phase.begun, _text(printed) + _text(log)[before:]):
            if process.poll() is not None:
                raise RuntimeError(f"the search ended before '{name}': {_text(printed)}{_text(errors)}")
            time.sleep(0.05)
        used += _cpu_seconds(process.pid)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        status = process.wait()
        seconds = time.monotonic() - began
        return Stopped(status, _text(printed), _text(errors), seconds, _cpu_seconds() - used)


def _cpu_seconds(process: int | None = None) -> float:
    """Return the CPU time of a process and its children, or of all our children that have ended."""
    if process is None:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime
    running = psutil.Process(process)
    times = [each.cpu_times() for each in (running, *running.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@contextmanager
def _held(folder: Path | None) -> Iterator[None]:
    """Hold all locks that there are in a folder, as another process would."""
    with ExitStack() as stack:
        for path in folder.glob("*.lock") if folder else ():
            stack.enter_context(FileLock(path))
        yield


def main() -> None:
    """Stop a search in each phase, and write how long each took."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in PHASES:
            end = stopped(name, Path(folder), Path(folder) / "cache")
            figures = {"seconds": end.seconds, "CPU seconds": end.cpu_seconds, "load": os.getloadavg()[0]}
            rows.append({"phase": name} | {what: round(figure, 1) for what, figure in figures.items()})
            print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(RESULTS, index=False)


if __name__ == "__main__":
    main()
