"""What times on a device depend on: its name, driver and clocks, versions, threads."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch

from piip_explore.latency.device_profile import DeviceConditions
from piip_explore.latency.runners import Runner
from piip_explore.ops import backend_name


def conditions(runner: Runner) -> DeviceConditions:
    """Return what a runner's times depend on."""
    gpu = runner.device.type == "cuda"
    driver, clocks = _gpu(runner.device) if gpu else ("", _cpu_clock())
    runtime = ""
    if runner.backend == "onnxruntime":
        import onnxruntime

        runtime = f"onnxruntime {onnxruntime.__version__}"
    return DeviceConditions(
        device=torch.cuda.get_device_name(runner.device)
        if gpu
        else f"{_cpuinfo('model name') or platform.processor() or platform.machine()} CPU",
        backend=runner.backend,
        dtype=str(runner.dtype).removeprefix("torch."),
        batch=runner.batch,
        threads=runner.threads,
        clock=runner.clock,
        torch=torch.__version__,
        runtime=runtime,
        kernel_backend="plain operators" if runner.backend == "onnxruntime" else backend_name(runner.device),
        driver=driver,
        clocks=clocks,
        system=f"{platform.system()} {platform.machine()}",
    )


def _gpu(device: torch.device) -> tuple[str, str]:
    """Return a GPU's driver and its highest clock and power limit, empty where `nvidia-smi` does not say."""
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    which = ["-i", f"GPU-{uuid}"] if uuid is not None else []
    query = "--query-gpu=driver_version,clocks.max.sm,power.limit"
    command = ["nvidia-smi", query, "--format=csv,noheader", *which]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        driver, clock, power = (part.strip() for part in told.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return "", ""
    return driver, f"up to {clock}, {power}"


def _cpu_clock() -> str:
    """Return the CPU's nominal clock; the current one changes from moment to moment."""
    return _cpuinfo("cpu MHz") and f"about {float(_cpuinfo('cpu MHz')) / 1000:.1f} GHz"


def _cpuinfo(key: str) -> str:
    """Return the first value of a key in Linux's description of its CPUs, empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
