"""Everything that only a GPU can tell, in order of worth, into one folder with one summary page.

    make gpu                          # on a machine with a GPU; again, after an interruption or the limit
    make gpu DEVICE=cpu               # a dry run: every step, at toy size
    python -m benchmarks.gpu_day --minutes 10 --step launch

Each step is a process of its own with at most ten minutes. One that is cut off resumes in the next run, where those
that ended are not repeated; `--again` repeats them. Needs torch, and says which wheels each step lacks. `summary.md` in
the folder, rewritten after every step, says what came of each and which open question it answers.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 600
"""Seconds of one step."""
UNFINISHED = 3
"""Exit status of a benchmark that stopped at its own limit."""
TAIL = 48
"""Lines of a step's output in the summary: two shapes' programs, fastest first, have room in it."""
STARTED = "=== started"
"""How a run begins in a step's file of output, which keeps the earlier ones."""
KERNEL = ("torch", "numpy", "triton")
PROXY = (*KERNEL, "fvcore", "iopath", "yaml", "pandas", "scipy", "sklearn", "safetensors", "PIL")


@dataclass(frozen=True)
class Step:
    """One process: its name, the question it answers, the modules it imports, and its arguments after `python`."""

    name: str
    question: str
    needs: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a step ended: "done", "failed", "unfinished", "lacks wheels" or "interrupted"."""

    status: str
    seconds: float
    message: str = ""


def steps(out: Path, device: str) -> list[Step]:
    """Return the steps on a GPU, most worth first."""
    rows = ("--out", str(out), "--device", device, "--limit", str(LIMIT - 120))
    launch = [
        Step(
            f"launch {kernel}, {pair}",
            "Which program is fastest, square tiles and offsets first among them? The table was chosen by counts.",
            KERNEL,
            ("-m", "benchmarks.kernel_launch", *rows, "--kernel", kernel, "--pair", pair),
        )
        for kernel in ("value_gradient", "forward", "sampling_gradient")
        for pair in ("B@1120 reads S@1568", "S@1568 reads B@1120")
    ]
    launch.append(
        Step(
            "launch value_gradient, crowded",
            "With all queries on one pixel, are gathering and the deterministic way as fast as adding?",
            KERNEL,
            ("-m", "benchmarks.kernel_launch", *rows, "--kernel", "value_gradient", "--pair", "S@1568", "--crowded"),
        )
    )
    runs = ("-m", "benchmarks.proxy_throughput", *rows, "--preset", "gpu-60s")
    throughput = [
        Step(
            f"throughput {name}{' compiled' * compiled}",
            "Runs per hour, MFU and memory of a full proxy run, and whether compiled blocks pay within one.",
            PROXY,
            (*runs, "--designs", name, *["--compile"] * compiled),
        )
        for compiled in (False, True)
        for name in ("TSB", "SBL")
    ]
    step = Step(
        "training step",
        "How much faster is a step with bfloat16 weights, and from a CUDA graph? Does it come to the same loss?",
        PROXY,
        ("-m", "benchmarks.proxy_step", *rows, "--preset", "gpu-60s"),
    )
    judge = ("-m", "piip_explore", "validate", "--preset", "gpu-60s", "--seeds", "2", "--device", device)
    validate = [
        Step(
            f"validate {table}",
            "Does the GPU preset rank published designs better than their FLOPs do?",
            (*PROXY, "click"),
            (*judge, "--tables", table, "--out", str(out / "validate" / table)),
        )
        for table in ("table-1", "table-2", "merge-ablation")
    ]
    tests = ("-m", "pytest", "-q", "tests/gpu", "-p", "no:cacheprovider")
    parallel = ("-n", str(min(os.cpu_count() or 1, 16))) if importlib.util.find_spec("xdist") else ()
    return [
        Step("tests", "Are the kernels right on this GPU?", (*PROXY, "pytest"), (*tests, *parallel)),
        Step("kernel check", "Errors against float64, case by case.", KERNEL, kernel("check", rows)),
        Step("kernel table, decisive pair", "Are the targets met?", KERNEL, kernel("table", rows, "S@1568", "B@1120")),
        *launch,
        step,
        *throughput[:2],
        Step("kernel table", "Every published pair and dtype, beside grid_sample.", KERNEL, kernel("table", rows)),
        *throughput[2:],
        *validate,
    ]


def kernel(part: str, rows: Sequence[str], *pairs: str) -> tuple[str, ...]:
    """Return the arguments of a part of `benchmarks.kernel`."""
    return ("-m", "benchmarks.kernel", "--only", part, *rows, *(f"--pair={pair}" for pair in pairs))


VALIDATE = """
import dataclasses, sys
from pathlib import Path
import numpy as np
from piip_explore import proxy
from piip_explore.proxy import Shrink
from piip_explore.proxy.validity import validate
from piip_explore.proxy.validity.rows import published_rows
rows = published_rows(["table-2"])
rows = dataclasses.replace(rows, **{column.name: getattr(rows, column.name)[:3] for column in dataclasses.fields(rows)})
preset = dataclasses.replace(
    proxy.preset("demo"), name="toy", size=32, train_images=16, val_images=8, samples=16, batch=8,
    shrink=Shrink(resolution=28, width=16, patch=4, depth=3),
)
validate.run(rows, preset, range(1), "cpu", Path(sys.argv[1]), lambda line: print(line, flush=True))
"""
"""`piip-explore validate` with a preset of seconds, which the command does not offer."""


def toy_steps(out: Path) -> list[Step]:
    """Return the same steps on the CPU, at toy size; the kernels in Triton's interpreter."""
    rows = ("--out", str(out), "--device", "cpu", "--limit", str(LIMIT - 120))
    question = "A dry run: it answers nothing, and shows that the step works."
    smallest = ("--designs", "demo space, smallest")
    toy_step, short = ("--preset", "demo", "--steps", "2"), ("--fidelity", "0.01")
    tests = ("-m", "pytest", "-q", "tests/ops/test_torch_backend.py", "-k", "by_hand", "-p", "no:cacheprovider")
    return [
        Step("tests", question, (*PROXY, "pytest"), tests),
        Step("kernel check", question, KERNEL, (*kernel("check", rows), "--toy")),
        Step("kernel table", question, KERNEL, (*kernel("table", rows), "--toy")),
        Step("launch", question, KERNEL, ("-m", "benchmarks.kernel_launch", *rows, "--toy"), {"TRITON_INTERPRET": "1"}),
        Step("training step", question, PROXY, ("-m", "benchmarks.proxy_step", *rows, *smallest, *toy_step)),
        Step("throughput", question, PROXY, ("-m", "benchmarks.proxy_throughput", *rows, *smallest, *short)),
        Step("validate", question, PROXY, ("-c", VALIDATE, str(out / "validate"))),
    ]


def missing(modules: Sequence[str]) -> list[str]:
    """Return the modules that this Python lacks."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def run(step: Step, out: Path, limit: float) -> Outcome:
    """Run a step for at most `limit` seconds; what it prints goes to a file of its name, and on."""
    lacking = missing(step.needs)
    if lacking:
        return Outcome("lacks wheels", 0.0, f"no module {', '.join(lacking)}")
    began = time.monotonic()
    with log_of(step, out).open("a") as log:
        print(f"{STARTED} {time.strftime('%Y-%m-%d %H:%M:%S')}", file=log, flush=True)
        process = subprocess.Popen(
            [sys.executable, *step.arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **step.environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a limit ends its children too
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            return Outcome("unfinished", time.monotonic() - began, f"cut off after {limit:.0f} s")
        except KeyboardInterrupt:
            return Outcome("interrupted", time.monotonic() - began)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    ended = {0: "done", UNFINISHED: "unfinished"}.get(status, "failed")
    return Outcome(ended, time.monotonic() - began, "" if ended == "done" else f"exit status {status}")


def log_of(step: Step, out: Path) -> Path:
    """Return the file of a step's output."""
    return out / f"{step.name.replace(' ', '-').replace(',', '').replace('@', '')}.log"


def machine(device: str) -> dict[str, str]:
    """Return what the results depend on."""
    import torch

    found = {"device": device, "python": platform.python_version(), "torch": torch.__version__}
    if device != "cpu":
        found["device"] = torch.cuda.get_device_name(device)
        found["CUDA"] = str(torch.version.cuda)
    if importlib.util.find_spec("triton"):
        import triton

        found["triton"] = triton.__version__
    return found


def summary(chosen: Sequence[Step], outcomes: dict[str, Outcome], about: dict[str, str], out: Path) -> str:
    """Return the page: machine, a line per step, and the end of what each printed."""
    lines = ["# A day with a GPU", "", *(f"- {name}: {value}" for name, value in about.items()), ""]
    lacking = missing(sorted({name for step in chosen for name in step.needs}))
    lines += [f"Modules without a wheel here: {', '.join(lacking) or 'none'}.", ""]
    lines += ["| step | came to | seconds | question |", "| --- | --- | --- | --- |"]
    for step in chosen:
        outcome = outcomes.get(step.name, Outcome("not run yet", 0.0))
        came = f"{outcome.status}: {outcome.message}" if outcome.message else outcome.status
        lines.append(f"| {step.name} | {came} | {outcome.seconds:.0f} | {step.question} |")
    for step in chosen:
        log = log_of(step, out)
        if log.exists():
            tail = log.read_text(errors="replace").rpartition(STARTED)[2].splitlines()[1:][-TAIL:]
            lines += ["", f"## {step.name}", "", *(f"    {line}" for line in tail)]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu is a dry run at toy size")
    parser.add_argument("--out", type=Path, help="the folder; the default is runs/gpu-day-DEVICE")
    parser.add_argument("--step", action="append", default=[], help="only steps whose name begins so")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no step after these")
    parser.add_argument("--again", action="store_true", help="repeat steps that have ended")
    options = parser.parse_args(arguments)
    if missing(["torch"]):
        print("gpu_day needs torch: no module torch in this Python", file=sys.stderr)
        return 2
    from piip_explore.device_name import resolve
    from piip_explore.errors import InputError

    try:
        device = str(resolve(options.device))
    except InputError as error:
        print(f"{error}; make gpu DEVICE=cpu is a dry run", file=sys.stderr)
        return 2
    out = (options.out or ROOT / "runs" / f"gpu-day-{device.replace(':', '')}").resolve()
    out.mkdir(parents=True, exist_ok=True)
    every = toy_steps(out) if device == "cpu" else steps(out, device)
    chosen = [step for step in every if not options.step or step.name.startswith(tuple(options.step))]
    if not chosen:
        print(f"no step begins with {options.step[0]!r}: {', '.join(s.name for s in every)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a step's process ends with us either way
    about, ended = machine(device), out / "outcomes.json"
    known = json.loads(ended.read_text()) if ended.exists() else {}
    outcomes = {name: Outcome(**values) for name, values in known.items()}
    end = time.monotonic() + 60 * options.minutes
    for step in chosen:
        if step.name in outcomes and outcomes[step.name].status == "done" and not options.again:
            continue
        left = end - time.monotonic()
        if left <= 0:
            print("time is up: the same command again resumes", flush=True)
            break
        print(f"{step.name} ...", flush=True)
        outcomes[step.name] = outcome = run(step, out, min(LIMIT, left))
        print(f"  {outcome.status} after {outcome.seconds:.0f} s {outcome.message}", flush=True)
        write(ended, json.dumps({name: asdict(value) for name, value in outcomes.items()}, indent=1))
        write(out / "summary.md", summary(every, outcomes, about, out))
        if outcome.status == "interrupted":
            break
    print(f"summary: {out / 'summary.md'}")
    done = [outcomes.get(step.name, Outcome("not run yet", 0.0)).status == "done" for step in chosen]
    return 0 if all(done) else 1


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
