"""A bare client with which to poke the simulator by hand and in tests: it signs, sends, and hides nothing.

It retries nothing, orders nothing and guesses nothing; whoever uses it gives the nonce. Not for the real exchange.
"""

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from sealane.simulator.accounts import SimAccount
from sealane.simulator.http import Answer, Delivery, Later, Request

TIMEOUT_S = 10.0


class Probe:
    """One keep-alive connection to `url`, signing as `account`. Not thread-safe: one probe a thread.

    Its nonces count from `first_nonce`; a key that was used before, in a loaded state too, needs one above its highest.
    Errors of the connection are those of `http.client` and `socket`, unchanged.
    """

    def __init__(self, url: str, account: SimAccount, *, timeout_s: float = TIMEOUT_S, first_nonce: int = 1) -> None:
        self.account = account
        self.next_nonce = first_nonce
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)

    def private(self, method: str, *, nonce: int | str | None = None, as_json: bool = False, **fields: Any) -> Any:
        """Sign and send a private call; the whole answer, `{"error": […], "result": …}`. No `nonce`: the next."""
        body, headers, path = self.signed(method, nonce=nonce, as_json=as_json, **fields)
        return json.loads(self.send("POST", path, body, headers)[1])

    def public(self, method: str, **fields: Any) -> Any:
        """Send a public call; the whole answer."""
        query = f"?{urlencode(fields)}" if fields else ""
        return json.loads(self.send("GET", f"/0/public/{method}{query}")[1])

    def control(self, verb: str, path: str, document: Any = None) -> tuple[int, Any]:
        """Send a control call: `control("POST", "/sim/faults", {…})`; status and document."""
        body = b"" if document is None else json.dumps(document).encode()
        status, text = self.send(verb, path, body)
        return status, json.loads(text)

    def signed(
        self, method: str, *, nonce: int | str | None = None, as_json: bool = False, **fields: Any
    ) -> tuple[bytes, dict[str, str], str]:
        """Body, headers and path of a signed private call, for those who want to send it themselves, or twice."""
        if nonce is None:
            nonce, self.next_nonce = self.next_nonce, self.next_nonce + 1
        document = {"nonce": nonce, **fields}
        body = (json.dumps(document) if as_json else urlencode(document)).encode()
        path = f"/0/private/{method}"
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        sign = self._sign(path, str(nonce), body)
        return body, {"API-Key": self.account.api_key, "API-Sign": sign, "Content-Type": kind}, path

    def _sign(self, path: str, nonce: str, body: bytes) -> str:
        message = path.encode() + hashlib.sha256(nonce.encode() + body).digest()
        secret = base64.b64decode(self.account.api_secret)
        return base64.b64encode(hmac.new(secret, message, hashlib.sha512).digest()).decode()

    def send(self, verb: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send a request as it is; status and body. After an error the next call makes a new connection."""
        try:
            self._connection.request(verb, path, body or None, headers or {})
            response = self._connection.getresponse()
            return response.status, response.read()
        except Exception:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Direct(Probe):
    """A probe without a socket: it hands requests to `handle` and takes the answers, in the same thread.

    Nothing waits: latency and slow answers take no time. What a socket would show shows alike: RemoteDisconnected for
    a dropped answer, ConnectionResetError for a reset, IncompleteRead for half of one, TimeoutError for one that comes
    later or never.
    """

    def __init__(
        self, handle: Callable[[Request], Answer | Later], account: SimAccount, *, first_nonce: int = 1
    ) -> None:
        super().__init__("http://nowhere", account, first_nonce=first_nonce)
        self._handle = handle

    def send(self, verb: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Hand over a request as it is; status and body."""
        bare, _, query = path.partition("?")
        named = {name.lower().encode(): text.encode() for name, text in (headers or {}).items()}
        answer = self._handle(Request(verb, bare, query, named, body))
        if isinstance(answer, Later) or answer.delivery is Delivery.HANG:
            answer.ended(False)
            raise TimeoutError("no answer yet")
        answer.ended(answer.delivery in (Delivery.WHOLE, Delivery.SLOW))
        if answer.delivery is Delivery.DROP:
            raise http.client.RemoteDisconnected("hung up on without an answer")
        if answer.delivery is Delivery.RESET:
            raise ConnectionResetError("connection reset")
        if answer.delivery is Delivery.HALF:
            raise http.client.IncompleteRead(answer.body[: len(answer.body) // 2])
        return answer.status, answer.body
