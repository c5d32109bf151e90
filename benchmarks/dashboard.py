"""How fast the dashboard is in a real browser: first chart, filter, click, poll, and what is sent.

python -m benchmarks.dashboard [--trials 10000 100000] [--repeats 3] [--out benchmarks/results/dashboard.json]

Needs the playwright package and /usr/bin/chromium. Studies are written by `tests.dashboard.synthetic`; every figure is
the median over fresh browser windows on a server that runs, the study opened by it at its start.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from piip_explore.dashboard import studies
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import front_rows
from tests.dashboard import synthetic
from tests.dashboard.conftest import ARGUMENTS, CHROMIUM, View, served

_DRAWN = """() => {
  const gd = document.querySelector('.st-key-front_chart .js-plotly-plot');
  return !!gd && !!gd.calcdata && gd.calcdata.length > 1 && !!gd.querySelector('.scatterlayer .trace .point');
}"""


def cpu_seconds() -> float:
    """CPU time so far of this program, the browser and the server: on a busy machine more telling than the clock."""
    parents, times = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
        times[int(path.parent.name)] = sum(map(int, fields[11:15]))
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(times[pid] for pid in ours) / os.sysconf("SC_CLK_TCK")


class Window:
    """A fresh browser window that counts what it receives."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
        self.page: Page = self.context.new_page()
        self.view = View(self.page, address)
        self.messages = 0
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, payload: str | bytes) -> None:
        self.messages += len(payload)

    def first_chart(self) -> float:
        began = time.perf_counter()
        self.page.goto(self.view.address)
        self.page.wait_for_function(_DRAWN, polling=20)
        return time.perf_counter() - began

    def bare(self) -> float:
        """A page of this server without any chart."""
        began = time.perf_counter()
        self.page.goto(f"{self.view.address}/validity")
        self.page.get_by_text("No proxy has been validated").wait_for()
        return time.perf_counter() - began

    def filter(self) -> float:
        self.view.settle()
        label = self.page.get_by_role("figure", name="Pareto front").get_attribute("aria-label")
        self.page.get_by_role("button", name="Filters").click()
        self.page.get_by_role("combobox", name="Branches").click()
        option = self.page.get_by_role("option", name="2", exact=True)
        option.wait_for()
        self.page.evaluate("document.querySelector('.st-key-front_chart .js-plotly-plot').old = true")
        began = time.perf_counter()
        option.click()
        self.page.wait_for_function(
            f"""label => {{
              const gd = document.querySelector('.st-key-front_chart .js-plotly-plot');
              const figure = document.querySelector('.st-key-front_chart [role=figure]');
              return figure && figure.getAttribute('aria-label') !== label && gd && !gd.old && ({_DRAWN})();
            }}""",
            arg=label,
            polling=20,
        )
        return time.perf_counter() - began

    def click(self, trial: int) -> float:
        self.view.settle()
        x, y = self.view.hover(trial)
        began = time.perf_counter()
        self.page.mouse.click(x, y)
        self.page.get_by_text(f"Trial {trial}", exact=True).wait_for()
        return time.perf_counter() - began

    def close(self) -> None:
        self.context.close()


def poll(folder: Path, name: str) -> dict[str, float]:
    """Time the server's part of a poll: with nothing new, and with ten new trials."""
    live = studies.open_live(studies.find(Options((str(folder),)))[0][0])
    live.poll()
    rng = np.random.default_rng(5)
    quiet, news = [], []
    for turn in range(20):
        began = time.perf_counter()
        live.poll()
        quiet.append(time.perf_counter() - began)
        designs = [synthetic.space().design(int(row)) for row in rng.choice(synthetic.space().size, 10)]
        lines = [synthetic.trial_line(turn * 10 + n, design, rng) for n, design in enumerate(designs)]
        with (folder / f"{name}.journal").open("a") as file:
            file.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
        began = time.perf_counter()
        live.poll()
        news.append(time.perf_counter() - began)
    return {"poll, nothing new": statistics.median(quiet), "poll, ten new trials": statistics.median(news)}


def measure(browser: Browser, folder: Path, trials: int, repeats: int) -> dict[str, float]:
    name = f"trials{trials}"
    synthetic.write(folder / f"{name}.journal", name, trials)
    live = studies.open_live(studies.find(Options((str(folder),)))[0][0])
    columns = live.trials()[1]
    from piip_explore.dashboard.figures.front import Axis

    axes = (Axis("x"), Axis("y", maximize=True))
    front = front_rows(columns.floats("gflops_published"), columns.score, axes, columns.scored)
    trial = int(front[np.argmax(np.diff(np.log(columns.floats("gflops_published")[front])))])
    found: dict[str, list[float]] = {}

    def note(what: str, value: float) -> None:
        found.setdefault(what, []).append(value)

    with served("--storage", str(folder), "--results", str(folder / "none")) as address:
        began = time.perf_counter()
        window = Window(browser, address)
        window.first_chart()
        note("first chart of a server just started", time.perf_counter() - began)
        window.close()
        for _ in range(repeats):
            steps: list[tuple[str, Callable[[Window], Any]]] = [
                ("bare page", Window.bare),
                ("first chart", Window.first_chart),
            ]
            for what, step in steps:
                window = Window(browser, address)
                spent = cpu_seconds()
                note(what, step(window))
                note(f"{what}, CPU time", cpu_seconds() - spent)
                window.view.settle()
                if what == "first chart":
                    note("megabytes sent", window.messages / 1e6)
                    spent = cpu_seconds()
                    note("click to details", window.click(trial))
                    note("click to details, CPU time", cpu_seconds() - spent)
                    spent = cpu_seconds()
                    note("filter", window.filter())
                    note("filter, CPU time", cpu_seconds() - spent)
                window.close()
    return {what: statistics.median(values) for what, values in found.items()} | poll(folder, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "seconds": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        for trials in options.trials:
            with tempfile.TemporaryDirectory() as folder:
                measured = measure(browser, Path(folder), trials, options.repeats)
            results["seconds"][str(trials)] = {what: round(value, 4) for what, value in measured.items()}
            print(trials, json.dumps(results["seconds"][str(trials)], indent=1), flush=True)
        browser.close()
    results["load of the machine (1, 5, 15 minutes)"] = [round(load, 1) for load in os.getloadavg()]
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
