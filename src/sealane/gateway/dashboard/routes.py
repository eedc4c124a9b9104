"""The dashboard's paths: the page, its document, its stream, and the files that the page loads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sealane.gateway.dashboard.page import content, page
from sealane.gateway.dashboard.stream import EventStream
from sealane.gateway.state import State
from sealane.gateway.statistics import statistics
from sealane.gateway.statistics_form import Document, KnownKey
from sealane.gateway.traffic import Traffic
from sealane.runtime.clock import SYSTEM_CLOCK, Clock

FILES = {"/dashboard.css": "text/css", "/dashboard.js": "text/javascript", "/dashboard.svg": "image/svg+xml"}
_HERE = Path(__file__).parent


def dashboard_routes(
    state: Callable[[], State],
    *,
    traffic: Traffic | None = None,
    virtual_keys: Callable[[], Iterable[KnownKey]] = tuple,
    show_amounts: bool = False,
    clock: Clock = SYSTEM_CLOCK,
) -> list[Route]:
    """All of them. ``virtual_keys`` gives those of now, and is asked on the event loop: it must not wait."""
    went = traffic or Traffic(clock)

    def document() -> Document:
        return statistics(state(), went.seen(), virtual_keys(), show_amounts=show_amounts)

    async def root(request: Request) -> Response:
        return HTMLResponse(await asyncio.to_thread(page, document()))

    async def figures(request: Request) -> Response:
        return JSONResponse(document())

    events = EventStream(document, {"statistics": dict, "page": content}, clock)
    return [
        Route("/", root, methods=["GET"]),
        Route("/statistics", figures, methods=["GET"]),
        Route("/events", events, methods=["GET"]),
        *(_file(path, kind) for path, kind in FILES.items()),
    ]


def _file(path: str, kind: str) -> Route:
    body = (_HERE / path.removeprefix("/")).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(body, media_type=kind)

    return Route(path, answer, methods=["GET"])
