"""Requests to the gateway: good ones of every method, and the same bent at any level.

``Requests.next()`` gives one as the server library hands it over (an ASGI scope and the body in pieces). Of each it is
known whether its signature is right: ``may_pass`` is False where it cannot be, and then nothing may reach the exchange.
"""

import base64
import copy
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from sealane.core.methods import METHODS

Fields = dict[str, Any]
ODD_TEXTS = (
    "", " ", "0", "-1", "+1", "1e3", "1e999999999", "NaN", "Infinity", "-0", "0x10", "1_000", ".", "1.", ".5", "#5%",
    "+5%", "null", "true", "None", "\x00", "\r\nSet-Cookie: a=b", "a" * 300, "9" * 40, "9" * 5_000,
    "0." + "0" * 400 + "1", "ä", "１２", "٣", "💰", "\u202e",
    "\ud800", "\udfff\ud800", "XBT/USD", "xbtusd", "' OR 1=1 --", "%00", "%", "a&b=c", "[]",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-21",
    "2026-11-21T10:00:00.000Z",
)  # fmt: skip
ODD_VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**40, 1.5, 1e22, 5e-7, [], {}, [[]], [None], [""],
    [1, "a", None], {"a": {"b": []}}, {"": ""}, {"pair": "XBTUSD"},
)  # fmt: skip
RAW_NUMBERS = ("1e40", "1e41", "1E-41", "1e999999999", "-1e-999999999", "0.1" + "0" * 3_000, "9" * 4_000, "9" * 5_000,
               "NaN", "-Infinity", "01", "1.", "--1", "1e")  # fmt: skip
NAMES = (
    "pair", "type", "ordertype", "volume", "price", "price2", "cl_ord_id", "userref", "txid", "orders", "cl_ord_ids",
    "nonce", "otp", "validate", "deadline", "oflags", "close", "close[ordertype]", "close[price]", "timeinforce",
    "new", "timeout", "asset", "start", "ofs", "order_qty", "limit_price", "trigger_price", "post_only",
    "displayvol", "reduce_only", "leverage",
)  # fmt: skip
HOSTS = (
    b"127.0.0.1",
    b"localhost",
    b"[::1]:8710",
    b"evil.example",
    b"",
    b"127.0.0.1:x",
    b"[",
    b"127.0.0.1\xff",
    b"@",
    b"a" * 999,
)
CONTENT_TYPES = (
    b"application/x-www-form-urlencoded", b"application/json", b"APPLICATION/JSON; charset=utf-16", b"text/plain", b"",
    b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded, application/json", b"\xff", b"json" * 200,
)  # fmt: skip
VERBS = ("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "post", "X" * 50)
PATHS = (
    "/0/private/ /0/private /0/ /0/private//Balance //0/private/Balance /0/private/Balance/ /0/private/../Balance "
    "/0/private/%42alance /0/private/Balance%00 /0/private/Balance;a=b /0/private/balance /1/private/Balance "
    "/0/public/Time /0/public/Ticker /0/public/../private/Balance /0/public/Withdraw /0/private/Earn%2FAllocate "
    "/0/private/%f0%9f%92%b0 /0/%70rivate/Balance /0/public/AssetPairs /0/public/Depth /0/private/" + "A" * 3_000
).split()
REPEAT_KEYS = (b"one", b"two", b"", b"a" * 255, b"a" * 256, b"\xff", b"\x09tab", b'"quoted"', b"a b")


@dataclass(frozen=True)
class Key:
    """A virtual key of the run, and the secret that is signed with."""

    name: str
    text: str
    secret: bytes = field(repr=False)


@dataclass
class Call:
    """A request before it is put together. ``body`` is set where no fields make it."""

    method: str
    key: Key
    fields: Fields
    path: str = ""
    verb: str = "POST"
    query: bytes = b""
    as_json: bool = False
    body: bytes | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    signing: str = "right"
    text: str = ""


@dataclass(frozen=True)
class Asked:
    """A request as the application gets it. ``cut`` is where its sender hung up, None where it did not."""

    scope: dict[str, Any]
    pieces: tuple[bytes, ...]
    may_pass: bool
    cut: int | None
    told: str


class Requests:
    """A source of requests; the same seed makes the same, but for their nonces."""

    def __init__(self, rng: random.Random, keys: Mapping[str, Key]) -> None:
        self._rng, self._keys = rng, list(keys.values())
        self._nonce = time.time_ns()
        self._made = 0
        self._methods = sorted(METHODS)
        field = (self._bend_field,) * 3
        whole = (
            self._bend_path,
            self._bend_verb,
            self._bend_query,
            self._bend_headers,
            self._bend_nonce,
            self._bend_signing,
        )
        text = (self._bend_bytes, self._bend_json, self._bend_orders, self._bend_size, self._bend_form)
        self._bends: tuple[Callable[[Call], None], ...] = (*field, *whole, *text)

    def next(self) -> Asked:
        """One more."""
        rng = self._rng
        call = self._good()
        for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
            rng.choice(self._bends)(call)
        return self._put_together(call)

    # --- a good one -----------------------------------------------------------------------------------------------

    def _good(self) -> Call:
        rng = self._rng
        method = rng.choice(self._methods) if rng.random() < 0.5 else rng.choice(("AddOrder", "Balance", "CancelOrder"))
        call = Call(method, rng.choice(self._keys), self._fields_of(method), as_json=rng.random() < 0.3)
        self._nonce += 1 + rng.randrange(1_000)
        call.fields = {"nonce": str(self._nonce) if rng.random() < 0.8 else self._nonce, **call.fields}
        if method in ("AddOrderBatch", "CancelOrderBatch"):
            call.as_json = True
        return call

    def _fields_of(self, method: str) -> Fields:
        rng = self._rng
        if method == "AddOrder":
            return self._order() | {"pair": rng.choice(("XBTUSD", "ETHEUR", "XBT/USD", "DOGEUSD"))}
        if method == "AddOrderBatch":
            return {"pair": "XBTUSD", "orders": [self._order() for _ in range(rng.randrange(17))]}
        if method in ("EditOrder", "AmendOrder"):
            return {"txid": self._txid(), "pair": "XBTUSD", "volume": "0.1", "order_qty": "0.1", "limit_price": "49000"}
        if method == "CancelOrderBatch":
            return {"orders": [self._txid() for _ in range(rng.randrange(4))]}
        if method == "CancelAllOrdersAfter":
            return {"timeout": rng.choice(("0", "600", "86400", "1e3"))}
        if method == "CancelOrder":
            return {rng.choice(("txid", "cl_ord_id")): self._txid()}
        return {} if rng.random() < 0.7 else {rng.choice(NAMES): self._txid()}

    def _order(self) -> Fields:
        rng = self._rng
        kind = rng.choice(("limit", "market", "stop-loss-limit", "trailing-stop", "iceberg", "settle-position"))
        order: Fields = {
            "type": rng.choice(("buy", "sell")),
            "ordertype": kind,
            "volume": rng.choice(("0.001", "1", "900")),
        }
        order |= {"price": rng.choice(("49000", "1", "+2%")), "price2": "48000"} if kind != "market" else {}
        named = rng.randrange(4)
        if named == 0:
            order["cl_ord_id"] = f"c{rng.randrange(40)}"
        elif named == 1:
            order["userref"] = rng.randrange(40)
        if rng.random() < 0.1:
            order["validate"] = rng.choice(("true", "false", "maybe"))
        return order

    def _txid(self) -> str:
        return self._rng.choice(("OAAAAA-AAAAA-AAAAAA", "c1", "c2", "7", "O1,O2", *ODD_TEXTS))

    # --- bent -----------------------------------------------------------------------------------------------------

    def _odd(self, *, nested: bool) -> object:
        rng = self._rng
        if nested and rng.random() < 0.5:
            return copy.deepcopy(rng.choice(ODD_VALUES))
        return rng.choice(ODD_TEXTS) if rng.random() < 0.8 else "".join(chr(rng.randrange(1, 0x2000)) for _ in range(8))

    def _bend_field(self, call: Call) -> None:
        rng = self._rng
        name = rng.choice(list(call.fields)) if call.fields and rng.random() < 0.5 else rng.choice(NAMES)
        if rng.random() < 0.15:
            call.fields.pop(name, None)
        else:
            call.fields[name] = self._odd(nested=call.as_json)

    def _bend_orders(self, call: Call) -> None:
        """Of a batch: an order that is none, has a pair of its own, or holds another batch."""
        rng, orders = self._rng, call.fields.get("orders")
        if not isinstance(orders, list) or not orders:
            call.fields["orders"] = self._odd(nested=True)
            return
        place = rng.randrange(len(orders))
        if rng.random() < 0.5 or not isinstance(orders[place], dict):
            orders[place] = self._odd(nested=True)
        else:
            orders[place][rng.choice(NAMES)] = self._odd(nested=True)

    def _bend_path(self, call: Call) -> None:
        call.path = self._rng.choice(PATHS)

    def _bend_verb(self, call: Call) -> None:
        call.verb = self._rng.choice(VERBS)

    def _bend_query(self, call: Call) -> None:
        rng = self._rng
        call.query = rng.choice(
            (
                b"a=b",
                b"nonce=1",
                b"pair=XBTUSD",
                b"&" * 500,
                b"a" * 5_000,
                bytes(rng.randrange(33, 127) for _ in range(40)),
            )
        )

    def _bend_headers(self, call: Call) -> None:
        rng, kind = self._rng, self._rng.randrange(6)
        if kind == 0:
            call.headers.append((rng.choice((b"api-key", b"api-sign", b"content-type", b"host")), rng.choice(HOSTS)))
        elif kind == 1:
            call.headers.append((b"content-type", rng.choice(CONTENT_TYPES)))
        elif kind == 2:
            call.headers.append(
                (b"origin", rng.choice((b"null", b"http://127.0.0.1", b"https://evil.example", b"\xff")))
            )
        elif kind == 3:
            call.headers += [(b"x-%d" % number, b"y" * 50) for number in range(100)]
        else:
            call.headers.append((b"idempotency-key", rng.choice(REPEAT_KEYS)))

    def _bend_nonce(self, call: Call) -> None:
        rng = self._rng
        call.fields["nonce"] = rng.choice(
            (0, -1, 2**63, 2**64, 10**30, "", "1", " 1", "1 ", "1.0", "１２", "\ud800", "a", None, True, [], {}, 1.5)
        )

    def _bend_signing(self, call: Call) -> None:
        call.signing = self._rng.choice(("another", "path", "short", "none", "no base64", "empty", "no key", "odd key"))

    def _bend_bytes(self, call: Call) -> None:
        """Any byte another; signed as it then is, or as it was before."""
        rng, body = self._rng, bytearray(self._encoded(call))
        for _ in range(rng.randrange(1, 4)):
            if body and rng.random() < 0.7:
                body[rng.randrange(len(body))] = rng.randrange(256)
            else:
                body[rng.randrange(len(body) + 1) :] = rng.randbytes(rng.randrange(20))
        call.body = bytes(body)

    def _bend_json(self, call: Call) -> None:
        """What only the text of JSON can say: depth, names given twice, numbers of any length, what is no object."""
        rng, call.as_json = self._rng, True
        deep, nonce = rng.choice((20, 300, 490, 700, 960, 5_000)), json.dumps(call.fields.get("nonce", 1), default=str)
        name = json.dumps(rng.choice(NAMES))
        told = rng.choice(
            (
                f'"a":{"[" * deep}{"]" * deep}',
                f'"orders":{"[" * deep}{"]" * deep}',
                '"close":' + '{"a":' * deep + "1" + "}" * deep,
                f'{name}:"x",{name}:"y"',
                f"{name}:{rng.choice(RAW_NUMBERS)}",
                f'"close":{{"price":{rng.choice(RAW_NUMBERS)},"ordertype":"limit"}}',
                f'{name}:"\\ud800\\u0000"',
                f'"\\udc00":{name}',
            )
        )
        good = json.dumps({name: value for name, value in call.fields.items() if name != "nonce"})[1:-1]
        whole = f'{{"nonce":{nonce},{told}{", " if good else ""}{good}}}'
        call.body = rng.choice((whole, whole, whole, whole, f"[{whole}]", "null", "7", '"nonce"', whole[:-1])).encode()

    def _bend_form(self, call: Call) -> None:
        """What only the text of a form can say."""
        rng, call.as_json = self._rng, False
        body = self._encoded(call)
        call.body = body + rng.choice(
            (
                b"&nonce=1",
                b"&pair=A&pair=B",
                b"&",
                b"&&",
                b"&=",
                b"&a",
                b"&a=%",
                b"&%6eonce=2",
                b"&a=%ff",
                b";a=b",
                b"&a=%00",
            )
        )

    def _bend_size(self, call: Call) -> None:
        call.body = self._encoded(call) + b"&a=" + b"b" * self._rng.choice((1_000, 65_000, 66_000, 200_000))

    # --- put together ---------------------------------------------------------------------------------------------

    def _encoded(self, call: Call) -> bytes:
        if call.body is not None:
            return call.body
        if call.as_json:
            return json.dumps(call.fields, default=str).encode()
        flat = {name: value if isinstance(value, str) else json.dumps(value) for name, value in call.fields.items()}
        return urlencode(flat, errors="surrogatepass").encode()

    def _put_together(self, call: Call) -> Asked:
        rng, path = self._rng, call.path or f"/0/private/{call.method}"
        body = self._encoded(call)
        right = self._sign(call, path, body)
        sign, key = self._bent_signature(call, path, body, right)
        kind = b"application/json" if call.as_json else b"application/x-www-form-urlencoded"
        headers = [(b"host", b"127.0.0.1:8710"), (b"api-key", key), (b"api-sign", sign), (b"content-type", kind)]
        rng.shuffle(headers)
        is_right = sign == right and key == call.key.text.encode()
        scope = _scope(call, path, [*headers, *call.headers])
        cut = 0 if rng.random() < 0.002 else None
        self._made += 1
        told = (
            f"{self._made}: {call.verb} {path[:60]} {call.signing} {call.key.name} {body[:120]!r} {call.headers[:2]!r}"
        )
        return Asked(scope, self._pieces(body), is_right, cut, told)

    def _sign(self, call: Call, path: str, body: bytes) -> bytes:
        nonce = str(call.fields.get("nonce", "")).encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(nonce + body).digest()
        return base64.b64encode(hmac.digest(call.key.secret, path.encode() + digest, "sha512"))

    def _bent_signature(self, call: Call, path: str, body: bytes, right: bytes) -> tuple[bytes, bytes]:
        key = call.key.text.encode()
        other = next(one for one in self._keys if one is not call.key)
        bent = {
            "right": (right, key),
            "another": (right, other.text.encode()),
            "path": (self._sign(call, path + "x", body), key),
            "short": (right[:-4], key),
            "none": (base64.b64encode(bytes(64)), key),
            "no base64": (b"\xff" + right[1:], key),
            "empty": (b"", key),
            "no key": (right, b""),
            "odd key": (right, key[:-1] + b"\xe4"),
        }
        return bent[call.signing]

    def _pieces(self, body: bytes) -> tuple[bytes, ...]:
        if self._rng.random() < 0.9 or not body:
            return (body,)
        at = self._rng.randrange(len(body))
        return body[:at], b"", body[at:]


def _scope(call: Call, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """As the server library makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": call.verb,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": call.query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8_710),
        "state": {},
    }
