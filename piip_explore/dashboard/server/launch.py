"""Starting the server."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time

from piip_explore.dashboard.options import Options
from piip_explore.design import Design
from piip_explore.errors import InputError

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
    "theme.headingFontSizes": ["1.6rem", "1.3rem", "1.1rem"],
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
    from streamlit.starlette import App

    from piip_explore.dashboard.server.application import MAIN, MIDDLEWARE, ROUTES, lifespan

    flags = {**SERVER, "server.address": address, "server.port": port, "server.headless": not browser}
    if address in ("127.0.0.1", "localhost"):
        flags["server.allowedHosts"] = ["127.0.0.1", "localhost"]
    if ":" in address and address != "::":  # any address is printed as those that reach it
        flags["browser.serverAddress"] = f"[{address}]"
    threading.Thread(target=_warm_up, args=(options,), daemon=True).start()
    sys.argv = [str(MAIN), *options.arguments()]
    sys.stdout.flush()
    App(MAIN, routes=ROUTES, middleware=MIDDLEWARE, lifespan=lifespan).run(config=flags)


_BUSY_SECONDS = 5.0
"""The regression waits so long: the first page comes first."""


def _check_free(address: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        host = f"[{address}]" if ":" in address else address
        raise InputError(f"cannot listen on {host}:{port} ({error.strerror}): choose another --port") from None


def _warm_up(options: Options) -> None:
    """Import what the first page needs and open its study, while the first browser still loads; then the regression
    that selecting a design asks."""
    import plotly.graph_objects  # noqa: F401

    from piip_explore.dashboard import studies
    from piip_explore.dashboard.figures import front  # noqa: F401
    from piip_explore.dashboard.server.application import plotly_js

    plotly_js()
    found, _ = studies.find(options)
    wanted = [source for source in found if source.name == options.study] or found[:1]
    for source in wanted:
        with contextlib.suppress(InputError):  # the page says what is wrong
            studies.open_live(source).trials()
    time.sleep(_BUSY_SECONDS)
    from piip_explore.predict import expect

    expect(Design.parse("vit_base@448"))
