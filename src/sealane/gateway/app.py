"""The paths. Every answer is made from one ``State`` on the event loop: nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sealane.gateway.api.gateway import Gateway
from sealane.gateway.dashboard.routes import dashboard_routes
from sealane.gateway.documents import Document, health_document, live_document, ready_document
from sealane.gateway.door import Door
from sealane.gateway.health import Status
from sealane.gateway.metrics import Metrics
from sealane.gateway.state import State


def make_app(
    state: Callable[[], State],
    *,
    allowed_hosts: Collection[str] = (),
    gateway: Gateway | None = None,
    show_amounts: bool = False,
) -> ASGIApp:
    """The application; ``state`` gives the state of now, ``allowed_hosts`` are names under which it may be asked.

    ``gateway`` answers what is asked under ``/0/``; the dashboard shows what went through it, and with ``show_amounts``
    what the accounts hold.
    """
    metrics = Metrics(state)

    async def health(request: Request) -> Response:
        now = state()
        return _answer(health_document(now), failed=now.verdict.status is Status.FAIL)

    async def ready(request: Request) -> Response:
        now = state()
        return _answer(ready_document(now), failed=now.verdict.status is Status.FAIL)

    async def live(request: Request) -> Response:
        document = live_document(state())
        return _answer(document, failed=document["status"] == Status.FAIL.value)

    async def exposed(request: Request) -> Response:
        text, content_type = metrics.exposed(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    paths = {"/health/kraken-nonce": health, "/readyz": ready, "/livez": live, "/metrics": exposed}
    own = [Route(path, answer, methods=["GET"]) for path, answer in paths.items()]
    traffic, known = (gateway.traffic, gateway.virtual_keys) if gateway else (None, tuple)
    shown = dashboard_routes(state, traffic=traffic, virtual_keys=known, show_amounts=show_amounts)
    app = Starlette(routes=[*own, *shown])
    app.router.redirect_slashes = False  # its Location would be made of the Host header

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        is_kraken = gateway is not None and scope["type"] == "http" and scope["path"].startswith("/0/")
        await (gateway if gateway is not None and is_kraken else app)(scope, receive, send)

    return Door(either, allowed_hosts)  # outside the app's own handling of errors


def _answer(document: Document, *, failed: bool) -> Response:
    return JSONResponse(document, status_code=503 if failed else 200)
