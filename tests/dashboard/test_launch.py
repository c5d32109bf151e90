from __future__ import annotations

import socket

import pytest

from piip_explore.dashboard.options import Options
from piip_explore.dashboard.server import launch
from piip_explore.errors import InputError
from tests.dashboard.conftest import ROOT


def test_a_taken_port_is_a_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}"):
            launch.launch(Options(), "127.0.0.1", port, browser=False)


def test_streamlit_run_is_as_safe_as_our_command() -> None:
    import tomllib

    written = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    flat = {f"{section}.{name}": value for section, values in written.items() for name, value in values.items()}
    for theme in ("light", "dark"):
        flat[f"theme.{theme}.primaryColor"] = flat.pop(f"theme.{theme}")["primaryColor"]
    assert flat.pop("server.allowedHosts") == ["127.0.0.1", "localhost"]
    assert flat == {name: value for name, value in launch.SERVER.items() if name != "server.headless"}
