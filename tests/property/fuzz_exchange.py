"""What stands for Kraken behind a fuzzed gateway: it answers at once, in all moods, and judges what it gets.

Whatever a bot wrote, what arrives here must be a call of Kraken's table, signed with the account's own key over exactly
its bytes, with a nonce above every earlier one; none that policies deny; and nothing of a virtual key in it. What is
wrong is kept in ``faults``.
"""

import base64
import hashlib
import hmac
import json
import random
import uuid
from urllib.parse import parse_qsl

from sealane.core.methods import METHODS
from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply

PAIRS = {
    "XXBTZUSD": {"altname": "XBTUSD", "base": "XXBT", "quote": "ZUSD"},
    "XETHZEUR": {"altname": "ETHEUR", "base": "XETH", "quote": "ZEUR"},
}
TICKER = {"c": ["50000.0", "0.1"], "a": ["50001.0", "1", "1"], "b": ["49999.0", "1", "1"]}
NEVER = ("Withdraw", "WithdrawCancel", "WalletTransfer", "CreateSubaccount", "AccountTransfer", "GetWebSocketsToken")
"""No key of the fuzz may do any of these."""
REFUSALS = (
    "EGeneral:Invalid arguments:volume",
    "EOrder:Insufficient funds",
    "EOrder:Unknown order",
    "EQuery:Unknown asset pair",
    "EFunding:Unknown withdraw key",
    "EGeneral:Permission denied",
)
ODD_RESULTS = (None, [], "text", 7, True, {}, {"open": []}, {"open": {"O": None}}, {"txid": "O"}, {"descr": 1}, [[]])
NO_ANSWERS = (
    Failure(True, "ReadTimeout"),
    Failure(True, "RemoteProtocolError: \r\nSet-Cookie: a=b"),
    Failure(False, "ConnectError"),
    Reply(502, b"<html>bad gateway</html>"),
    Reply(200, b"<html>"),
    Reply(200, b"\xff\xfe"),
    Reply(200, b""),
    Reply(200, b'{"error":"EGeneral"}'),
    Reply(200, b'{"error":[],"result":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
    Reply(429, b'{"error":["EAPI:Rate limit exceeded"]}'),
)


class Exchange:
    """One account's transport. ``moods`` is the chance of an answer that is not the plain one."""

    def __init__(
        self, rng: random.Random, api_key: str, secret: str, forbidden: tuple[bytes, ...], moods: float
    ) -> None:
        self._rng, self._key, self._secret, self._moods = rng, api_key, base64.b64decode(secret), moods
        self._forbidden = forbidden
        self._highest, self._last = 0, Request("GET", "/", (), b"")
        self.received = 0
        self.faults: list[str] = []
        self._open: dict[str, dict[str, object]] = {}

    async def send(self, request: Request) -> Reply | Failure:
        """See ``sealane.transport.port.AsyncTransport``."""
        if request.verb == "GET":
            return self._public(request.target)
        self.received += 1
        method = request.target.removeprefix("/0/private/")
        self._judge(request, method)
        if request.body == self._last.body and self._highest == int(str(_fields(request)["nonce"])):
            return Reply(200, b'{"error":["EAPI:Invalid nonce"]}')  # sent again, and the first had arrived
        self._last, is_moody = request, self._rng.random() < self._moods
        if is_moody and self._rng.random() < 0.1:
            return Failure(True, "ReadTimeout, and it never arrived")
        self._highest = int(str(_fields(request)["nonce"]))
        if is_moody:
            return self._moody(method)
        return Reply(200, json.dumps({"error": [], "result": self._result(method, _fields(request))}).encode())

    async def close(self) -> None:
        """See ``sealane.transport.port.AsyncTransport``."""

    def after_fork(self) -> None:
        """See ``sealane.transport.port.AsyncTransport``."""

    # --- judging --------------------------------------------------------------------------------------------------

    def _judge(self, request: Request, method: str) -> None:
        headers, fields = dict(request.headers), _fields(request)
        nonce = str(fields.get("nonce"))
        digest = hashlib.sha256(nonce.encode() + request.body).digest()
        sign = base64.b64encode(hmac.digest(self._secret, request.target.encode() + digest, "sha512"))
        whole = request.target.encode() + request.body + b"".join(headers.values())
        self._expect(method in METHODS and method not in NEVER, f"{method} was sent")
        self._expect(headers[b"API-Key"].decode() == self._key, "it is another account's key")
        self._expect(headers[b"API-Sign"] == sign, "the signature is not over these bytes")
        is_again = request.body == self._last.body
        self._expect(is_again or int(nonce) > self._highest, f"nonce {nonce} is not above {self._highest}")
        self._expect(not any(secret in whole for secret in self._forbidden), "a virtual key's text or secret was sent")

    def _expect(self, is_so: bool, otherwise: str) -> None:
        if not is_so and len(self.faults) < 20:
            self.faults.append(otherwise)

    # --- answering ------------------------------------------------------------------------------------------------

    def _moody(self, method: str) -> Reply | Failure:
        kind = self._rng.randrange(4)
        if kind == 0:
            return self._rng.choice(NO_ANSWERS)
        if kind == 1:
            return _reply(self._rng.choice(ODD_RESULTS))
        error = self._rng.choice(REFUSALS)
        return Reply(200, json.dumps({"error": [error], "result": {}} if kind == 2 else {"error": [error]}).encode())

    def _public(self, target: str) -> Reply | Failure:
        method = target.removeprefix("/0/public/").partition("?")[0]
        if method == "AssetPairs":
            return _reply(PAIRS)
        if self._rng.random() < self._moods:
            return self._rng.choice((*NO_ANSWERS, _reply(None), _reply([])))
        return _reply({"XXBTZUSD": TICKER} if method == "Ticker" else {"unixtime": 1, "key": self._rng.random()})

    def _result(self, method: str, fields: dict[str, object]) -> object:
        if method in ("AddOrder", "EditOrder"):
            txid = self._place(fields)
            return {"descr": {"order": "an order"}, "txid": txid if method == "EditOrder" else [txid]}
        if method == "AddOrderBatch":
            orders = fields["orders"]
            return {"orders": [{"descr": {"order": "an order"}, "txid": self._place(one)} for one in orders]}
        if method == "AmendOrder":
            return {"amend_id": "TEZA4R-DSDGT-IJBOJK"}
        if method == "GetApiKeyInfo":
            return {"apiKeyName": "real", "apiKey": self._key, "nonce": str(self._highest), "nonceWindow": 0}
        if method.startswith("Cancel"):
            return {"count": len(self._open)} if method != "CancelAllOrdersAfter" else {"triggerTime": "0"}
        if method == "OpenOrders":
            return {"open": self._open}
        if method in ("ClosedOrders", "TradesHistory"):
            return {"closed": {}, "trades": {}, "count": 0}
        return self._open if method == "QueryOrders" else {"ZUSD": "1.0"}

    def _place(self, order: dict[str, object]) -> str:
        if len(self._open) >= 20:
            self._open.clear()
        txid = f"O{uuid.UUID(int=self._rng.getrandbits(128)).hex[:16].upper()}"
        descr = {name: order.get(name) for name in ("pair", "type", "ordertype", "price", "price2")}
        named = {name: order.get(name) for name in ("cl_ord_id", "userref")}
        self._open[txid] = {"status": "open", "vol": order.get("volume"), "opentm": 1.0, "descr": descr, **named}
        return txid


def _reply(result: object) -> Reply:
    return Reply(200, json.dumps({"error": [], "result": result}).encode())


def _fields(request: Request) -> dict[str, object]:
    if request.body.startswith(b"{"):
        found: dict[str, object] = json.loads(request.body)
        return found
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))
