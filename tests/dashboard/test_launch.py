from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import pytest

from piip_explore.dashboard.options import Options
from piip_explore.dashboard.server import launch
from piip_explore.errors import InputError
from tests.dashboard.conftest import PATIENCE, ROOT


def test_a_taken_port_is_a_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}"):
            launch.launch(Options(), "127.0.0.1", port, browser=False)


def _listens_on_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _listens_on_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_is_printed_as_a_browser_takes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "piip_explore", "dashboard", "--no-browser", "--address", "::1"]
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        port = other.getsockname()[1]
        taken = subprocess.run([*command, "--port", str(port)], cwd=tmp_path, capture_output=True, text=True)
    assert taken.returncode == 2
    assert f"cannot listen on [::1]:{port} (Address already in use)" in taken.stderr
    server = subprocess.Popen([*command, "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    with server:
        try:
            lines = iter(server.stdout.readline, "")
            assert "URL: http://[::1]:" in next(line for line in lines if "URL" in line)
        finally:
            server.kill()


def test_an_answer_does_not_wait_for_an_acknowledgement(address: str) -> None:
    """A delayed acknowledgement takes 40 ms; the first ones of a connection are not delayed."""
    connection = http.client.HTTPConnection(urlparse(address).netloc, timeout=PATIENCE)
    seconds = []
    for _ in range(40):
        began = time.perf_counter()
        connection.request("GET", "/_stcore/health")
        connection.getresponse().read()
        seconds.append(time.perf_counter() - began)
    connection.close()
    assert min(seconds[20:]) < 0.03


def test_streamlit_run_is_as_safe_as_our_command() -> None:
    import tomllib

    written = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    flat = {f"{section}.{name}": value for section, values in written.items() for name, value in values.items()}
    for theme in ("light", "dark"):
        flat[f"theme.{theme}.primaryColor"] = flat.pop(f"theme.{theme}")["primaryColor"]
    assert flat.pop("server.allowedHosts") == ["127.0.0.1", "localhost"]
    assert flat == {name: value for name, value in launch.SERVER.items() if name != "server.headless"}
