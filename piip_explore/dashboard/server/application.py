"""What is served beside Streamlit's own pages: plotly.js for our charts, and headers that keep other sites out.

`launch` and `streamlit run app.py` build the same application from `ROUTES`, `MIDDLEWARE` and `lifespan`.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plotly.offline import get_plotlyjs
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from piip_explore.dashboard.plot import PLOTLY_JS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from streamlit.starlette import App

MAIN = Path(__file__).with_name("main.py")
"""The script that Streamlit runs."""


_EAGER = b"//# allFunctionsCalledOnLoad\n"
"""Tells Chromium to compile a whole script in the background while it loads. Otherwise it compiles each function when
it is first called, on the thread that draws the page."""


@cache
def plotly_js() -> bytes:
    """Return plotly.js as the plotly package brings it, marked for eager compilation, compressed."""
    return gzip.compress(_EAGER + get_plotlyjs().encode(), 1, mtime=0)


def _plotly(request: Request) -> Response:
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    content = plotly_js() if packed else gzip.decompress(plotly_js())
    return Response(content, media_type="text/javascript", headers=headers)


class Guard:
    """Add headers: no other site may frame the dashboard, and a page fetches plotly.js while Streamlit starts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its response gets the headers."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = "frame-ancestors 'none'"
                headers["X-Frame-Options"] = "DENY"
                headers["X-Content-Type-Options"] = "nosniff"
                if headers.get("content-type", "").startswith("text/html"):
                    headers["Link"] = f"<{PLOTLY_JS}>; rel=preload; as=script"
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[None]:
    """Set TCP_NODELAY on the server's socket before it listens.

    asyncio sets it on sockets created for IPPROTO_TCP; Streamlit creates its own without a protocol. With Nagle's
    algorithm on, most answers wait 40 ms for the browser's delayed acknowledgement, and a page asks for more than a
    hundred files.
    """
    loop: Any = asyncio.get_running_loop()
    create_server = loop.create_server

    async def create(*args: Any, sock: socket.socket | None = None, **options: Any) -> asyncio.Server:
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        server: asyncio.Server = await create_server(*args, sock=sock, **options)
        return server

    loop.create_server = create
    yield


ROUTES = [Route(PLOTLY_JS, _plotly)]
MIDDLEWARE = [Middleware(Guard)]
