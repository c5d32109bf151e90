"""Processes of a training: they end together, and the first that failed gives the status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from piip_explore.errors import InputError
from piip_explore.train import launch

pytestmark = pytest.mark.timeout(300)  # well before the end of the 600 seconds for which the processes would sleep

ROOT = Path(__file__).parents[2]
WORKER = """
import os, sys, time, pathlib
rank, out = int(os.environ["RANK"]), pathlib.Path(sys.argv[-1])
(out / f"{rank}.pid").write_text(str(os.getpid()))
"""


def package(root: Path, program: str) -> dict[str, str]:
    """Write a package of ours that does `program` instead; return the environment that finds it first."""
    (root / "piip_explore").mkdir()
    (root / "piip_explore" / "__init__.py").write_text("")
    (root / "piip_explore" / "__main__.py").write_text(WORKER + program)
    return {"PYTHONPATH": str(root)}


def numbers(root: Path) -> list[int]:
    """Return the processes of both ranks, once they have begun."""
    paths = [root / f"{rank}.pid" for rank in range(2)]
    while not all(path.exists() and path.read_text() for path in paths):
        time.sleep(0.02)
    return [int(path.read_text()) for path in paths]


def await_both(root: Path) -> None:
    """Wait until both ranks say that they are ready."""
    while not all((root / f"{rank}.ready").exists() for rank in range(2)):
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("", 0),
        ("sys.exit(2) if rank == 1 else time.sleep(600)", 2),
        ("sys.exit(3) if rank == 0 else time.sleep(600)", 3),
        ("os.kill(os.getpid(), 9) if rank == 1 else time.sleep(600)", 9),
    ],
)
def test_the_first_failure_ends_all_and_is_the_status(
    program: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in package(tmp_path, program).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)  # where `python -m` looks first
    assert launch.run([str(tmp_path)], 2) == status
    assert not any(map(psutil.pid_exists, numbers(tmp_path)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_passed_on_to_the_first_process_which_may_save(number: signal.Signals, tmp_path: Path) -> None:
    saves = "import signal\ndef save(*_):\n    (out / 'saved').touch(); sys.exit(1)\n"
    saves += "if rank == 0: signal.signal(signal.SIGTERM, save)\n(out / f'{rank}.ready').touch(); time.sleep(600)"
    found = package(tmp_path, saves)
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    program += f"from piip_explore.train import launch; sys.exit(launch.run([{str(tmp_path)!r}], 2))"
    launcher = subprocess.Popen([sys.executable, "-c", program], env=os.environ | found, cwd=tmp_path)
    await_both(tmp_path)
    launcher.send_signal(number)
    assert launcher.wait() == 1
    assert (tmp_path / "saved").exists()
    assert not any(map(psutil.pid_exists, numbers(tmp_path)))


def test_no_process_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    watched = f"sys.path.insert(0, {str(ROOT)!r}); del sys.modules['piip_explore']\n"
    watched += "from piip_explore.train import launch; launch.end_with_launcher()\n"
    watched += "(out / f'{rank}.ready').touch(); time.sleep(600)"
    found = package(tmp_path, watched)
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    program += f"from piip_explore.train import launch; launch.run([{str(tmp_path)!r}], 2)"
    launcher = subprocess.Popen([sys.executable, "-c", program], env=os.environ | found, cwd=tmp_path)
    workers = [psutil.Process(number) for number in numbers(tmp_path)]
    await_both(tmp_path)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    assert not psutil.wait_procs(workers, timeout=60)[1]


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert launch.count("auto", None) == 2
    assert launch.count("cuda", 1) == 1
    assert launch.count("cpu", None) == 1
    assert launch.count("cpu", 3) == 3
    assert launch.count("cuda:1", None) == launch.count("gpu:0", 1) == 1
    with pytest.raises(InputError, match="--devices 3: this machine has 2 CUDA devices"):
        launch.count("auto", 3)
    with pytest.raises(InputError, match="--devices 2: 'cuda:1' is one device, 'cuda' means all"):
        launch.count("1", 2)
    with pytest.raises(InputError, match="'cuda:2' is not available: this machine has 2 CUDA devices"):
        launch.count("cuda:2", None)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="device 'cuda' is not available"):
        launch.count("cuda", None)
    assert launch.count("auto", None) == 1
    assert launch.count("auto", 2) == 2
