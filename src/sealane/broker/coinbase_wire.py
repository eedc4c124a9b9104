"""Calls to Coinbase by its own SDK, within limits, each ending in an answer or one of ``coinbase_errors``.

1. The SDK builds and signs the requests and reads the answers. Beneath it lies our adapter of its ``requests`` session
   (a public place to put one), which alone decides what counts as an answer.
2. Every wait has a limit: connecting, and the whole answer, head and body, so that a slow drip ends too.
3. Nothing is sent twice here, redirects are not followed, and neither ``.netrc`` nor proxy variables are read: a
   ``.netrc`` would put its own word in place of the signed token.
4. Only a failure to connect is "not sent", only a plain no is "refused". All else is lost, and may have been carried
   out.
5. No exception of a library below is passed on: theirs hold the request, and that holds the token.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from coinbase import jwt_generator
from coinbase.rest import RESTClient
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from sealane.broker.coinbase_errors import CoinbaseRefused, Lost, NotSent
from sealane.broker.coinbase_key import CoinbaseKey
from sealane.errors import SealaneError, SettingsError
from sealane.transport.http import READ_TIMEOUT_S, Timeouts, within

BODY_LIMIT = 32 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
SAID_CHARACTERS = 200
ACCOUNTS_A_PAGE, ORDERS_A_PAGE, PAGES_MAX = 250, 1_000, 100
EDGE_REFUSALS = (401, 403, 429)
"""Refused by what stands before the exchange, whatever the form of the answer."""
REFUSALS = (400, 404, 405, 413, 415, 422)
"""Refused where the answer is the exchange's own JSON."""
_REMEDY = " (is the key right, its private half with it, may it view and trade, and is this machine's clock right?)"

_TOKENS = re.compile(r"eyJ[\w.-]+")

Document = Mapping[str, Any]


class CoinbaseWire:
    """Coinbase's REST side for one key; safe to use from any thread."""

    def __init__(self, url: str, key: CoinbaseKey, timeouts: Timeouts) -> None:
        self._url, self._key, self._limits_s = url, key, (timeouts.connect_s, timeouts.read_s)
        _check(key)
        self._start()

    def _start(self) -> None:
        parts = urlsplit(self._url)
        secret = self._key.secret.reveal().decode()
        self._client = RESTClient(self._key.name, secret, base_url=parts.netloc, timeout=self._limits_s)  # type: ignore[arg-type,unused-ignore]
        session = self._client.session
        session.trust_env = False
        session.mount("https://", _Adapter(plain=parts.scheme == "http"))

    def accounts(self, in_time: Callable[[], bool]) -> list[Document]:
        """All accounts of the key, from all pages; raises Lost where there are more pages, and no time left."""
        fetch = self._client.get_accounts
        return list(
            self._page_by_page("list accounts", "accounts", lambda at: fetch(limit=ACCOUNTS_A_PAGE, cursor=at), in_time)
        )

    def orders(self, since: str | None) -> Iterator[Document]:
        """Orders since then (RFC 3339, None: all), latest pages first, each page as it is needed."""
        fetch = self._client.list_orders
        return self._page_by_page(
            "list orders", "orders", lambda cursor: fetch(limit=ORDERS_A_PAGE, start_date=since, cursor=cursor)
        )

    def create_order(self, order: Document) -> Document:
        """Send one order once; the answer's ``success`` tells whether it was placed."""
        return self._call("create order", lambda: self._client.create_order(**order))

    def preview_order(self, order: Document) -> Document:
        """Have an order looked at without placing it."""
        return self._call("preview order", lambda: self._client.preview_order(**order))

    def close(self) -> None:
        """Close the connections."""
        self._client.session.close()

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        _parents.append(self._client)
        self._start()

    def _page_by_page(
        self, method: str, name: str, fetch: Callable[[str | None], Any], in_time: Callable[[], bool] = lambda: True
    ) -> Iterator[Document]:
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = self._call(method, lambda at=cursor: fetch(at))  # type: ignore[misc]
            rows = page.get(name)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Lost(f"Coinbase answered {method} without its {name}: unknown, which is not none")
            yield from rows
            if page.get("has_next") is False:
                return
            if not page.get("cursor") or page["cursor"] == cursor:
                raise Lost(f"Coinbase answered {method} with a page that leads no further: the rest is unknown")
            cursor = str(page["cursor"])
            if not in_time():
                raise Lost(f"Coinbase took too long over the pages of {method}: the rest is unknown")
        raise Lost(f"Coinbase answered {method} with more than {PAGES_MAX} pages: the rest is unknown")

    def _call(self, method: str, ask: Callable[[], Any]) -> Document:
        """One call of the SDK; what it cannot read is lost, and its own words about that stay here."""
        lost: SealaneError
        try:
            return dict(ask().to_dict())
        except _Ended as end:
            lost = end.error(method)
        except Exception as error:
            lost = Lost(f"Coinbase's answer to {method} could not be read ({type(error).__name__})")
        raise lost


_parents: list[object] = []  # a forked child keeps its parent's connections here, so that nothing ever closes them


def _check(key: CoinbaseKey) -> None:
    """Sign once, so that a private half that cannot is told at once, by its name alone."""
    try:
        jwt_generator.build_rest_jwt("GET /", key.name, key.secret.reveal().decode())
    except Exception:
        good = False
    else:
        good = True
    if not good:
        raise SettingsError(
            f"{key.named} cannot sign: copy the private key again from Coinbase, whole (a PEM of an ECDSA P-256 or "
            "Ed25519 key, or the base64 of an Ed25519 key)"
        )


class _Ended(Exception):
    """A request that has no answer, on its way through the SDK; ``said`` holds no secret."""

    def __init__(self, kind: type[NotSent | Lost | CoinbaseRefused], said: str, status: int = 0) -> None:
        self.kind, self.said, self.status = kind, said, status
        super().__init__(said)

    def error(self, method: str) -> SealaneError:
        """As the error that callers see."""
        if issubclass(self.kind, CoinbaseRefused):
            remedy = _REMEDY if self.status in (401, 403) else ""
            return CoinbaseRefused(method, self.status, self.said, remedy=remedy)
        if issubclass(self.kind, NotSent):
            return NotSent(f"Coinbase could not be reached for {method}: {self.said}; nothing was sent")
        return Lost(f"Coinbase gave no usable answer to {method}: {self.said}")


class _Answer(http.client.HTTPResponse):
    """Read as a whole within the time that one read may take."""

    def __init__(self, sock: socket.socket, *arguments: Any, **more: Any) -> None:
        super().__init__(within(sock, sock.gettimeout() or READ_TIMEOUT_S), *arguments, **more)  # type: ignore[arg-type]


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = _Answer


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Answer


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    """Sends once, over plain http where the base URL says so, and judges what came back."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
        """See HTTPAdapter; its connections read an answer within one limit."""
        super().init_poolmanager(*arguments, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def send(self, request: requests.PreparedRequest, *arguments: Any, **more: Any) -> requests.Response:
        """See HTTPAdapter; raises ``_Ended`` alone."""
        if self._plain:
            request.url = str(request.url).replace("https://", "http://", 1)
        token = str(request.headers.get("Authorization", "")).removeprefix("Bearer ")
        end: _Ended
        try:
            response = super().send(request, *arguments, **more)
            with contextlib.closing(response):
                body = _body_of(response)
            return _judged(response, body, token)
        except _Ended as ended:
            end = ended
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            end = _failed(error)
        raise end


def _body_of(response: requests.Response) -> bytes:
    body = bytearray()
    while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > BODY_LIMIT:
            raise _Ended(Lost, f"an answer of more than {BODY_LIMIT} bytes")
    return bytes(body)


def _judged(response: requests.Response, body: bytes, token: str) -> requests.Response:
    """The response with its body to be read, where it is an answer."""
    document, status = _document(body), response.status_code
    if 200 <= status < 300 and document is not None:
        response.raw = io.BytesIO(body)
        return response
    said = _said(body, document, token)
    if status in EDGE_REFUSALS or (status in REFUSALS and document is not None):
        raise _Ended(CoinbaseRefused, said, status)
    raise _Ended(Lost, f"status {status}: {said}")


def _document(body: bytes) -> Mapping[str, object] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _said(body: bytes, document: Mapping[str, object] | None, token: str) -> str:
    """What an answer says, in one short line that does not give the token back."""
    words = (document or {}).get("message") or (document or {}).get("error") or body.decode(errors="replace")
    text = _TOKENS.sub("***", str(words).replace(token or "***", "***"))
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line[:SAID_CHARACTERS] or "nothing"


def _failed(error: BaseException) -> _Ended:
    """What became of a request that a library gave up; told by its kind, because its text may hold the request."""
    kinds = tuple(_reasons(error))
    unsent = any(
        isinstance(one, (NewConnectionError, ConnectTimeoutError, ssl.SSLCertVerificationError)) for one in kinds
    )
    return _Ended(NotSent if unsent else Lost, type(kinds[-1]).__name__)


def _reasons(error: object) -> Iterator[BaseException]:
    """The error and what lies in it, outermost first."""
    seen: set[int] = set()
    while isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = getattr(error, "reason", None) or next(
            (one for one in error.args if isinstance(one, BaseException)), None
        )
        error = inner or error.__cause__
