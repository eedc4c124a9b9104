"""Who may ask: by the Host and Origin headers, before any path is looked at.

A web page that a person visits can make the browser ask this machine's loopback, under a name of its own that it lets
point here. So the service answers to addresses, to ``localhost``, and to names that were allowed; never to other names,
and never to a page from elsewhere. Railway's own checks come under a name of theirs, and are let through to the probes.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sealane.gateway.settings import is_address

PROBES = frozenset({"/livez", "/readyz", "/health/kraken-nonce"})
RAILWAY = "healthcheck.railway.app"
PROTECTION = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


class Door:
    """Lets in who may ask, and sends every answer with headers that keep it out of other pages and caches."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str] = ()) -> None:
        self._app, self._names = app, frozenset({"localhost", *allowed_hosts})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return

        async def protected(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", [])
                message = {**message, "headers": [*headers, *PROTECTION.items()]}  # type: ignore[misc]
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["path"], scope["scheme"])
        app = _refused(*refusal, scope["path"]) if refusal else self._app
        await app(scope, receive, protected)  # type: ignore[arg-type]

    def _refusal(self, headers: Headers, path: str, scheme: str) -> tuple[str, int] | None:
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not self._is_ours(hostname(host), path):
            text = "this service does not answer under that name: ask by address, or add it to SEALANE_ALLOWED_HOSTS\n"
            return text, 421
        if origin is not None and origin.lower() != f"{scheme}://{host}".lower():
            return "pages from elsewhere are not answered\n", 403
        return None

    def _is_ours(self, name: str, path: str) -> bool:
        return is_address(name) or name in self._names or (name == RAILWAY and path in PROBES)


def _refused(text: str, status: int, path: str) -> ASGIApp:
    """A refusal, to a program of Kraken's protocol in Kraken's envelope."""
    if not path.startswith("/0/"):
        return PlainTextResponse(text, status)
    return JSONResponse({"error": ["EGeneral:Permission denied"]}, status, {"x-sealane-why": text.strip()})


def hostname(host: str) -> str:
    """The name or address in a Host header, without brackets and port, in small letters; "" for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
