"""Starting the server."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from pathlib import Path

from piip_explore.dashboard.options import Options
from piip_explore.errors import InputError

APP = Path(__file__).with_name("main.py")

SERVER = {
    "server.address": "127.0.0.1",
    "server.headless": True,
    "server.maxUploadSize": 1,
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": False,
    "browser.gatherUsageStats": False,
    "global.disableWidgetStateDuplicationWarning": True,
    "client.showErrorDetails": "type",
    "client.showErrorLinks": False,
    "client.toolbarMode": "viewer",
    "theme.headingFontSizes": ["2rem", "1.5rem", "1.25rem"],
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
}
"""Safe defaults in any folder; `.streamlit/config.toml` says the same for `streamlit run`."""


def launch(options: Options, address: str, port: int, *, browser: bool) -> None:
    """Serve the dashboard at `address`:`port` until it is interrupted; `browser` opens it.

    Raises:
        InputError: nothing can listen there.
    """
    _check_free(address, port)
    from streamlit import config
    from streamlit.web import bootstrap

    flags = {**SERVER, "server.address": address, "server.port": port, "server.headless": not browser}
    if address in ("127.0.0.1", "localhost"):
        flags["server.allowedHosts"] = ["127.0.0.1", "localhost"]
    for name, value in flags.items():
        config.set_option(name, value)
    threading.Thread(target=_warm_up, args=(options,), daemon=True).start()
    sys.stdout.flush()
    bootstrap.run(str(APP), False, options.arguments(), {})


def _check_free(address: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        raise InputError(f"cannot listen on {address}:{port} ({error.strerror}): choose another --port") from None


def _warm_up(options: Options) -> None:
    """Import what the first page needs and open its study, while the first browser still loads."""
    import plotly.graph_objects  # noqa: F401

    from piip_explore.dashboard import studies
    from piip_explore.dashboard.figures import front  # noqa: F401

    found, _ = studies.find(options)
    wanted = [source for source in found if source.name == options.study] or found[:1]
    for source in wanted:
        with contextlib.suppress(InputError):  # the page says what is wrong
            studies.open_live(source).trials()
