"""Foreign text is text, nothing leaves the machine, and files outside the chosen folders stay closed."""

from __future__ import annotations

import gzip
import http.client
import http.server
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from piip_explore.dashboard.plot import PLOTLY_JS
from tests.dashboard import synthetic
from tests.dashboard.conftest import PATIENCE, View, served

Window = Callable[..., View]

EVIL = (
    "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script><b>bold</b> "
    "![pic](http://evil.example/p.png) [link](http://evil.example) http://evil.example/x :red[red] $x^2$ `tick`"
)
PAGES = {
    "": "Pareto front",
    "design?pick=0": "Export",
    "compare?pick=0&pick=1": "Fronts of studies",
    "space": "The file",
    "study": "Start a new study",
    "validity": "Validity",
    "published": "Other detectors on COCO",
}
"""Every page, and what it draws last."""


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a study and a space that say `EVIL` wherever they can."""
    folder = tmp_path_factory.mktemp("evil")
    rng = np.random.default_rng(0)
    attributes = {"failure": EVIL, "conditions": {"device": EVIL, "code_version": EVIL, "preset": EVIL}}
    _write(folder / "evil.journal", EVIL, rng, attributes)
    _write(folder / "other.journal", f"second {EVIL}", rng, {})
    spaces = folder / "spaces"
    spaces.mkdir()
    lines = synthetic.SPACE.replace("name: synthetic", f"name: synthetic\ndescription: {EVIL!r}")
    (spaces / "evil.yaml").write_text(lines.replace("onerror=\\'window.pwned=1\\'", "onerror=window.pwned=1"))
    with served("--storage", str(folder), "--spaces", str(spaces)) as address:
        yield address


def _write(path: Path, name: str, rng: np.random.Generator, user_attrs: dict[str, object]) -> None:
    import json

    evaluator = {"kind": "proxy", "metric": EVIL, "preset": EVIL, "preset_hash": EVIL}
    record = {**synthetic.record().to_attributes(), "evaluator": evaluator}
    designs = [synthetic.space().design(int(row)) for row in rng.choice(synthetic.space().size, 12, replace=False)]
    lines = [
        {"op_code": 0, "worker_id": "w", "study_name": name, "directions": [2, 1]},
        {"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": record},
        *(synthetic.trial_line(n, design, rng, user_attrs=user_attrs) for n, design in enumerate(designs)),
        synthetic.trial_line(12, designs[0], rng, state=3, values=None, user_attrs=user_attrs),
    ]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def test_foreign_text_is_shown_literally_on_every_page(window: Window, evil: str) -> None:
    view = window(evil)
    for page, last in PAGES.items():
        view.open(page)
        view.page.get_by_text(last, exact=True).first.wait_for()
        view.settle()
        assert view.page.evaluate("window.pwned") is None, page
        assert not view.page.query_selector_all("img[src='x'], a[href*='evil'], img[src*='evil']"), page
        assert not view.page.query_selector_all("[data-testid=stException]"), page
    assert view.outside == [], "requests left the machine"


def test_a_hover_card_shows_foreign_text_literally(window: Window, evil: str) -> None:
    view = window(evil).open()
    view.expect(view.page.locator(".st-key-front_chart .ytitle")).to_contain_text("<img src=x")
    view.steady()
    assert view.page.locator(".st-key-front_chart a").count() == 0


@pytest.mark.parametrize(
    "path",
    [
        "?study=../../../etc/passwd",
        "?study=/etc/passwd",
        "space?space=../../../etc/passwd",
        "space?space=/etc/passwd",
        "validity?validation=/etc",
        "design?pick=/etc/passwd",
        "design?pick=99999999",
    ],
)
def test_an_address_names_no_file(window: Window, address: str, path: str) -> None:
    view = window(address).open(path)
    shown = view.page.inner_text("[data-testid=stApp]")
    assert "root:" not in shown
    assert not view.page.query_selector_all("[data-testid=stException]")


@pytest.mark.parametrize(
    "path",
    [
        "/app/static/../../pyproject.toml",
        "/media/../../../etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/studies/demo.journal",
    ],
)
def test_the_server_serves_no_file_of_ours(address: str, path: str) -> None:
    try:
        body = urllib.request.urlopen(address + path, timeout=PATIENCE).read()
    except urllib.error.HTTPError:
        return
    assert b"root:" not in body
    assert b"op_code" not in body
    assert b"[project]" not in body


def test_a_password_is_never_shown(window: Window) -> None:
    storage = "postgresql+psycopg://someone:hunter2secret@127.0.0.1:1/none"
    with served("--storage", storage) as address:
        view = window(address)
        received: list[str] = []
        view.page.on("websocket", lambda socket: socket.on("framereceived", lambda data: received.append(str(data))))
        view.open()
        view.page.get_by_role("alert").filter(has_text="127.0.0.1").first.wait_for()
        view.settle()
    assert not any("hunter2" in message for message in received)


def test_another_site_cannot_reach_the_app_through_its_own_name(address: str) -> None:
    """DNS rebinding: a page that makes its name point to 127.0.0.1 sends that name as the host."""
    assert _handshake(address, "127.0.0.1") == 101
    assert _handshake(address, "evil.example") == 403


def _handshake(address: str, host: str) -> int:
    port = int(address.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {
        "Host": f"{host}:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection.request("GET", "/_stcore/stream", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("path", ["/", "/study", "/_stcore/health", "/static/index.html"])
def test_no_other_site_may_frame_the_dashboard(address: str, path: str) -> None:
    """A page that frames it could lay its Resume button under the reader's click."""
    headers = urllib.request.urlopen(address + path, timeout=PATIENCE).headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"


class Framing(http.server.BaseHTTPRequestHandler):
    """A site that frames the dashboard, and itself beside it."""

    dashboard = ""

    def do_GET(self) -> None:
        body = b"mine" if self.path == "/mine" else f"<iframe src=/mine></iframe><iframe src={self.dashboard}>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


def test_a_page_of_another_site_shows_nothing_in_a_frame(window: Window, address: str) -> None:
    framing = type("FramingOurs", (Framing,), {"dashboard": address})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), framing) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        page = window(address).page
        page.goto(f"http://127.0.0.1:{site.server_port}/")
        end = time.monotonic() + PATIENCE
        while not page.frames[2].url.startswith("chrome-error:"):
            assert time.monotonic() < end, f"it shows {page.frames[2].url}"
            page.wait_for_timeout(100)
        assert page.frames[1].inner_text("body") == "mine"
        site.shutdown()


def test_plotly_is_served_by_the_dashboard_itself(address: str) -> None:
    request = urllib.request.Request(address + PLOTLY_JS, headers={"Accept-Encoding": "gzip"})
    answer = urllib.request.urlopen(request, timeout=PATIENCE)
    assert answer.headers["Content-Encoding"] == "gzip"
    script = gzip.decompress(answer.read())
    assert script.startswith(b"//# allFunctionsCalledOnLoad\n")
    assert b"plotly.js v" in script[:200]
    assert b"plotly.js v" in urllib.request.urlopen(address + PLOTLY_JS, timeout=PATIENCE).read()[:200]
