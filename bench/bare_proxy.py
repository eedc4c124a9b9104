"""What the gateway is measured against: a reverse proxy of the same libraries that only forwards.

Starlette on uvicorn (its own h11, the gateway's settings) and httpcore2 to the exchange, as they come: a request's
verb, path, body and the headers that Kraken reads go on as they came, and so does the answer. It checks nothing and
knows no key.

As a program with the exchange's URL it prints its own, and ends at SIGTERM.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import httpcore2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealane.gateway.server import BACKLOG, KEEP_ALIVE_S, url_of
from sealane.transport.http import CONNECTIONS_MAX, KEEPALIVE_S

FORWARDED = (b"api-key", b"api-sign", b"content-type")


def make_proxy(url: str, pool: httpcore2.AsyncConnectionPool) -> Starlette:
    """The application."""
    to = httpcore2.URL(url)
    host = (b"Host", b"%b:%d" % (to.host, to.port or 80))

    async def forward(request: Request) -> Response:
        body = await request.body()
        given = [(name, value) for name, value in request.headers.raw if name in FORWARDED]
        headers = [host, (b"Content-Length", str(len(body)).encode()), *given]
        target = httpcore2.URL(scheme=to.scheme, host=to.host, port=to.port, target=request.scope["raw_path"])
        told = await pool.request(request.method, target, headers=headers, content=body)
        return Response(told.content, told.status, media_type="application/json")

    return Starlette(routes=[Route("/0/{path:path}", forward, methods=["GET", "POST"])])


async def serve(url: str) -> None:
    """Serve until SIGTERM."""
    async with httpcore2.AsyncConnectionPool(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_S) as pool:
        server = uvicorn.Server(
            uvicorn.Config(
                make_proxy(url, pool),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                backlog=BACKLOG,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )
        with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
            print(url_of(listener), flush=True)
            await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
