"""How fast the dashboard is in a real browser: first chart, reload, filter, click, Next, poll, and what is sent.

python -m benchmarks.dashboard [--trials 24 10000 100000] [--repeats 3] [--out benchmarks/results/dashboard.json]
python -m benchmarks.dashboard --script     # only the CPU time of the server's script, without a browser

What counts as done: a chart, when the marks of its front are in the page; a click or Next, when the mark of the chart
and the panel beside it both show the trial; a filter, when the chart is drawn again with the trials that fit. `first
chart` is a new browser window on a server that runs and has the study open; `reload` the same window once more, with
what it has cached. Every figure is the median over fresh windows. Needs the playwright package and /usr/bin/chromium.

On a machine that is busy with other things the clock says little: CPU times stand beside it, and `--script` takes those
of the server's script alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from streamlit.testing.v1 import AppTest

from piip_explore.dashboard import app, studies
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.server.application import MAIN
from piip_explore.dashboard.trials import front_rows
from tests.dashboard import synthetic
from tests.dashboard.conftest import ARGUMENTS, CHROMIUM, View, served

_DRAWN = """() => {
  const gd = document.querySelector('.st-key-front_chart .js-plotly-plot');
  return !!gd && !!gd.calcdata && gd.calcdata.length > 1 && !!gd.querySelector('.scatterlayer .trace .point');
}"""

_TIMES = "Number(document.querySelector('.st-key-front_chart .js-plotly-plot').dataset.drawn)"
"""How often the chart was drawn."""

_LONELIEST = """front => {
  const gd = document.querySelector('.st-key-front_chart .js-plotly-plot'), full = gd._fullLayout;
  const spots = new Map();
  for (const trace of gd._fullData) {
    if (!trace.customdata || trace.yaxis === 'y2') continue;
    Array.from(trace.customdata).forEach((trial, place) =>
      spots.set(trial, [full.xaxis.d2p(trace.x[place]), full.yaxis.d2p(trace.y[place])]));
  }
  const room = trial => Math.min(...[...spots].filter(([other]) => other !== trial).map(([, [x, y]]) =>
    Math.hypot(x - spots.get(trial)[0], y - spots.get(trial)[1])));
  return front.slice(0, -1).reduce((best, trial) => room(trial) > room(best) ? trial : best);
}"""
"""The trial of the front with the most room around it: another mark in its place would be clicked instead."""

_SELECTED = """trial => {
  const mark = document.querySelector('.st-key-front_chart .piip-selected');
  const panel = document.querySelector('.st-key-inspector');
  return mark && Number(mark.dataset.trial) === trial && panel.innerText.includes(`Trial ${trial}`);
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

    def reload(self) -> float:
        self.view.settle()
        began = time.perf_counter()
        self.page.reload()
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
        self.page.get_by_text("Filters and limits", exact=True).click()
        self.view.steady()
        self.page.get_by_role("combobox", name="Branches").click()
        option = self.page.get_by_role("option", name="2", exact=True)
        option.wait_for()
        drawn = self.page.evaluate(_TIMES)
        began = time.perf_counter()
        option.click()
        self.page.wait_for_function(f"drawn => ({_TIMES}) > drawn && ({_DRAWN})()", arg=drawn, polling=20)
        return time.perf_counter() - began

    def loneliest(self, front: list[int]) -> int:
        self.view.settle()
        return int(self.page.evaluate(_LONELIEST, front))

    def click(self, trial: int) -> float:
        self.view.settle()
        x, y = self.view.hover(trial)
        began = time.perf_counter()
        self.page.mouse.click(x, y)
        self.page.wait_for_function(_SELECTED, arg=trial, polling=20)
        return time.perf_counter() - began

    def next(self, trial: int) -> float:
        self.view.settle()
        button = self.page.get_by_role("button", name="Next", exact=True)
        button.hover()
        began = time.perf_counter()
        button.click()
        self.page.wait_for_function(_SELECTED, arg=trial, polling=20)
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


def script_seconds(folder: Path, name: str, repeats: int) -> dict[str, float]:
    """CPU time of the server's script: for the first browser, for another one, and for a step along the front."""
    given = Options((str(folder),), None, folder / "none", (folder / "none",))
    sys.argv = ["main.py", *given.arguments()]
    spent: list[float] = []

    def timed() -> None:
        began = time.thread_time()
        run()
        spent.append(time.thread_time() - began)

    run, app.run = app.run, timed
    try:
        pages = [AppTest.from_file(str(MAIN), default_timeout=600) for _ in range(1 + repeats)]
        for page in pages:
            page.query_params["study"] = name
            page.run()
        first, others = spent[0], spent[1:]
        spent.clear()
        for _ in range(1 + repeats):  # the first loads what expects metrics
            pages[0].button(key="next").click().run()
        steps = spent[1:]
    finally:
        app.run = run
    return {
        "script, first browser, CPU time": first,
        "script, another browser, CPU time": statistics.median(others),
        "script, Next, CPU time": statistics.median(steps),
    }


def measure(browser: Browser, folder: Path, name: str, repeats: int) -> dict[str, float]:
    live = studies.open_live(studies.find(Options((str(folder),)))[0][0])
    columns = live.trials()[1]
    from piip_explore.dashboard.figures.contents import ChartAxis

    axes = (ChartAxis("x"), ChartAxis("y", maximize=True))
    front = front_rows(columns.floats("gflops_published"), columns.score, axes, columns.scored).tolist()
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
                    trial = window.loneliest(front)
                    spent = cpu_seconds()
                    note("click", window.click(trial))
                    note("click, CPU time", cpu_seconds() - spent)
                    spent = cpu_seconds()
                    note("Next", window.next(front[front.index(trial) + 1]))
                    note("Next, CPU time", cpu_seconds() - spent)
                    spent = cpu_seconds()
                    note("filter", window.filter())
                    note("filter, CPU time", cpu_seconds() - spent)
                    spent = cpu_seconds()
                    note("reload", window.reload())
                    note("reload, CPU time", cpu_seconds() - spent)
                window.close()
    return {what: statistics.median(values) for what, values in found.items()} | poll(folder, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[24, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--script", action="store_true", help="only the CPU time of the server's script")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "seconds": {}}
    with ExitStack() as stack:
        if not options.script:
            playwright = stack.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            stack.callback(browser.close)
        for trials in options.trials:
            name = f"trials{trials}"
            with tempfile.TemporaryDirectory() as folder:
                synthetic.write(Path(folder) / f"{name}.journal", name, trials)
                measured = script_seconds(Path(folder), name, options.repeats)
                if not options.script:
                    measured |= measure(browser, Path(folder), name, options.repeats)
            results["seconds"][str(trials)] = {what: round(value, 4) for what, value in measured.items()}
            print(trials, json.dumps(results["seconds"][str(trials)], indent=1), flush=True)
    results["load of the machine (1, 5, 15 minutes)"] = [round(load, 1) for load in os.getloadavg()]
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
