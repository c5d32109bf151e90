"""A real server and a real browser, one of each for all tests of the room."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from piip_explore.dashboard import studies as sources
from piip_explore.dashboard.figures.contents import ChartAxis
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import front_rows
from tests.dashboard import synthetic

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
PATIENCE = 240
"""Seconds to wait for what has to happen, on a machine with better things to do; a test may take 600 in all."""

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
"""Options of a window on a phone."""

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what Streamlit's AppTest does to `__main__`, which every process that later tests spawn would import."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@contextmanager
def served(*arguments: str, cwd: Path = ROOT) -> Iterator[str]:
    """Run `piip-explore dashboard` with arguments; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "piip_explore", "dashboard", "--no-browser", "--port", str(port), *arguments]
    with tempfile.TemporaryFile() as printed:  # a pipe that nobody reads would stop the server when it is full
        process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=printed)
        address = f"http://127.0.0.1:{port}"
        try:
            end = time.monotonic() + PATIENCE
            while not _healthy(address):
                printed.seek(0)
                assert process.poll() is None, printed.read().decode()
                assert time.monotonic() < end, "the server did not start"
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _healthy(address: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{address}/_stcore/health", timeout=PATIENCE).read())
    except OSError:
        return False


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two studies."""
    folder = tmp_path_factory.mktemp("studies")
    synthetic.write(folder / "demo.journal", "demo", 200)
    synthetic.write(folder / "other.journal", "other", 60, seed=1)
    return folder


@pytest.fixture(scope="session")
def front(studies: Path) -> list[int]:
    """The trials of the first study's front, from the cheapest on."""
    trials = sources.open_live(sources.find(Options((str(studies),)))[0][0]).trials()[1]
    axes = (ChartAxis("x"), ChartAxis("y", maximize=True))
    return front_rows(trials.floats("gflops_published"), trials.score, axes, trials.scored).tolist()


@pytest.fixture(scope="session")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small space."""
    folder = tmp_path_factory.mktemp("spaces")
    (folder / "synthetic.yaml").write_text(synthetic.SPACE)
    return folder


@pytest.fixture(scope="session")
def address(studies: Path, spaces: Path) -> Iterator[str]:
    """The dashboard over both."""
    with served("--storage", str(studies), "--spaces", str(spaces)) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
    sync_api.expect.set_options(timeout=1000 * PATIENCE)
    if not CHROMIUM.exists():
        pytest.skip(f"the browser tests need {CHROMIUM} (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS, timeout=1000 * PATIENCE)
        yield chromium
        chromium.close()


class View:
    """One browser window on the dashboard."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.outside: list[str] = []
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:", self.address.replace("http", "ws"))):
            self.outside.append(url)

    def open(self, path: str = "") -> View:
        self.page.goto(f"{self.address}/{path}")
        return self.settle()

    def settle(self) -> View:
        """Wait until the script has run and everything is drawn."""
        self.page.wait_for_selector("[data-testid=stMain] h1")  # before the first run there is no page at all
        self.page.wait_for_selector(
            "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
        )
        self.page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton]').length === 0")
        return self

    def steady(self) -> View:
        """Wait until all charts are drawn in the colours that the system asks for, and nothing moves for a second."""
        self.settle()
        self.page.evaluate("window.lastLook = null")  # what stood still before the last change says nothing
        self.page.wait_for_function(_STEADY, polling=250)
        return self

    def link(self, name: str, page: str) -> View:
        """Follow a link to a page and wait for it."""
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.page.wait_for_url(lambda url: urlparse(url).path == f"/{page}")
        self.page.get_by_role("heading", level=1, name=page.capitalize()).wait_for()
        return self.settle()

    def says(self, *words: str) -> View:
        """Wait until the page shows all of these words."""
        for one in words:
            self.expect(self.page.get_by_test_id("stMain")).to_contain_text(one, use_inner_text=True)
        return self

    @staticmethod
    def expect(what: Any) -> Any:
        """Return Playwright's assertions on a locator, which wait until they hold."""
        from playwright.sync_api import expect

        return expect(what)

    def named(self, **words: list[str]) -> View:
        """Wait until the address names exactly this."""
        self.page.wait_for_url(lambda url: parse_qs(urlparse(url).query) == words)
        return self

    def point(self, trial: int) -> tuple[float, float]:
        """Return where a trial of the front chart is on the screen."""
        self.page.wait_for_selector(".st-key-front_chart .js-plotly-plot .main-svg")
        found = self.page.evaluate(_POINT, trial)
        assert found, f"trial {trial} is not drawn"
        return found[0], found[1]

    def hover(self, trial: int) -> tuple[float, float]:
        """Move the mouse to a trial until its own card shows: a chart that is still being drawn hears nothing."""
        from playwright.sync_api import TimeoutError

        end = time.monotonic() + PATIENCE
        while True:
            x, y = self.point(trial)
            self.page.mouse.move(x - 3, y)
            self.page.mouse.move(x, y)
            try:
                self.page.wait_for_function(_CARD, arg=trial, timeout=2000)
            except TimeoutError:
                assert time.monotonic() < end, f"trial {trial} shows no card"
            else:
                return x, y

    def shows(self, *trials: int) -> View:
        """Wait until address, chart and panel all show these trials as selected, and no others."""
        self.page.wait_for_function(_SHOWN, arg=[str(trial) for trial in trials])
        panel = self.page.locator(".st-key-inspector")
        self.expect(panel).to_contain_text(f"Trial {trials[0]}" if trials else "Click a point")
        return self.settle()

    def click(self, trial: int) -> View:
        self.page.mouse.click(*self.hover(trial))
        self.page.wait_for_url(f"**pick={trial}*")
        return self.settle()

    def next(self, trial: int) -> View:
        """Step along the front to a trial."""
        self.page.get_by_role("button", name="Next", exact=True).click()
        return self.shows(trial)


_STEADY = r"""() => {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const bright = color => {
    const parts = Object.assign(new Option().style, { color }).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    return parts[0] + parts[1] + parts[2] > 382;
  };
  const late = plot => !plot.dataset.drawn || bright(plot.layout.template.layout.font.color) !== dark;
  const waits = bright(getComputedStyle(document.querySelector('[data-testid=stMain]')).color) !== dark
    || [...document.querySelectorAll('.piip-plot')].some(late);
  const boxes = [...document.querySelectorAll('[data-testid=stMain] *')].map(e => e.getBoundingClientRect());
  const look = JSON.stringify(boxes.map(b => [b.top, b.left, b.width, b.height]));
  const now = performance.now();
  if (look !== window.lastLook || waits) { window.lastLook = look; window.since = now; }
  return now - window.since > 1000;
}"""

_SHOWN = """wanted => {
  const same = found => JSON.stringify([...found].sort()) === JSON.stringify([...wanted].sort());
  const marks = [...document.querySelectorAll('.st-key-front_chart .piip-selected')].map(mark => mark.dataset.trial);
  return same(new URLSearchParams(location.search).getAll('pick')) && same(marks);
}"""

_CARD = r"""trial => {
  const card = document.querySelector('.st-key-front_chart .hoverlayer .hovertext');
  return card && new RegExp(`trial ${trial}(?!\\d)`).test(card.textContent);
}"""

_POINT = """trial => {
  const gd = document.querySelector('.st-key-front_chart .js-plotly-plot'), full = gd._fullLayout;
  for (const trace of gd._fullData) {
    const place = trace.customdata ? Array.from(trace.customdata).indexOf(trial) : -1;
    if (place < 0 || trace.yaxis === 'y2') continue;
    const box = gd.getBoundingClientRect();
    return [box.left + full.xaxis._offset + full.xaxis.d2p(trace.x[place]),
            box.top + full.yaxis._offset + full.yaxis.d2p(trace.y[place])];
  }
  return null;
}"""


def _context(browser: Any, **options: Any) -> Any:
    """A profile of the browser's, with windows of a fixed size."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, "reduced_motion": "reduce"} | options)
    context.set_default_timeout(1000 * PATIENCE)
    return context


@pytest.fixture(scope="session")
def profile(browser: Any) -> Any:
    """The profile of all tests: scripts of megabytes are fetched and compiled once."""
    return _context(browser)


@pytest.fixture
def window(browser: Any, profile: Any) -> Iterator[Callable[..., View]]:
    """Open windows, with options in a profile of their own; they close with the test."""
    pages = []

    def make(address: str, **options: Any) -> View:
        context = _context(browser, **options) if options else profile
        pages.append(context.new_page())
        return View(pages[-1], address)

    yield make
    for page in pages:
        page.close()
