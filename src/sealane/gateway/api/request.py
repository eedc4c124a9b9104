"""What a program asks, read without guessing.

1. The signature is over the bytes as they came; the fields that are sent on are read from the same bytes. So there may
   be only one way to read them: a name given twice, in a form or at any depth of JSON, is refused.
2. Amounts stay the texts that they were: no number is rounded on the way.
3. The method is one of Kraken's table, spelled exactly so, and nothing else stands in the path.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NoReturn
from urllib.parse import parse_qsl

from sealane.core.methods import METHODS
from sealane.core.nonce import MAX_NONCE
from sealane.core.signing import PRIVATE, PUBLIC, api_sign
from sealane.gateway.api.envelope import INVALID_ARGUMENTS, INVALID_NONCE, UNKNOWN_METHOD

PUBLIC_METHODS = frozenset(
    {
        "AssetPairs",
        "Assets",
        "Depth",
        "GroupedBook",
        "OHLC",
        "PostTrade",
        "PreTrade",
        "Spread",
        "SystemStatus",
        "Ticker",
        "Time",
        "Trades",
    }
)
BODY_BYTES_MAX = 65_536
"""Fifteen orders in one batch have a fifth of that."""
QUERY_BYTES_MAX = 4_096
FIELDS_MAX = 200
DEPTH_MAX = 8
"""Of JSON in JSON; an order's closing order in a batch is the fourth."""
REPEAT_KEY_MAX = 255
NONCE_DIGITS_MAX = 19
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}|close\[[a-z0-9]{1,20}\]")
_OWN_FIELDS = ("nonce", "otp")
"""The nonce is drawn anew, and the second factor is the account's, kept here."""
_YES, _NO = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no", ""})


class Unreadable(Exception):
    """A request that is answered by one of Kraken's errors at once; ``detail`` says what is wrong with it."""

    def __init__(self, error: str, detail: str) -> None:
        self.error, self.detail = error, detail
        super().__init__(f"{error} ({detail})")


@dataclass(frozen=True)
class Signed:
    """A private request as it came in, and what it says.

    ``params`` are without nonce and second factor; ``repeat_key`` is the Idempotency-Key.
    """

    method: str
    path: str
    api_key: str
    sign: bytes = field(repr=False)
    body: bytes = field(repr=False)
    nonce_text: str
    params: Mapping[str, object] = field(repr=False)
    repeat_key: str = ""

    def is_signed_with(self, secret: bytes) -> bool:
        """Whether the signature is right for exactly these bytes; takes as long for a wrong one."""
        expected = base64.b64decode(api_sign(secret, self.path, self.nonce_text, self.body))
        return hmac.compare_digest(expected, self.sign)

    @property
    def nonce(self) -> int:
        """The program's own nonce; raises Unreadable where it is none."""
        text = self.nonce_text
        if not (text.isascii() and text.isdecimal() and len(text) <= NONCE_DIGITS_MAX) or int(text) > MAX_NONCE:
            raise Unreadable(INVALID_NONCE, "the nonce is no whole number below 2^63")
        return int(text)


def private_request(path: bytes, query: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Signed:
    """A POST to ``/0/private/…``; raises Unreadable."""
    method = _method(path, PRIVATE, METHODS)
    if query:
        raise Unreadable(INVALID_ARGUMENTS, "a private call has its parameters in the body, not in the path")
    single = _single(headers)
    fields = _fields(body, single.get(b"content-type", b""))
    _check_names(fields)
    repeat_key = single.get(b"idempotency-key", b"").decode("latin-1")
    if len(repeat_key) > REPEAT_KEY_MAX or not (repeat_key.isascii() and (repeat_key.isprintable() or not repeat_key)):
        raise Unreadable(INVALID_ARGUMENTS, f"the Idempotency-Key has more than {REPEAT_KEY_MAX} printable characters")
    return Signed(
        method,
        PRIVATE + method,
        single.get(b"api-key", b"").decode("latin-1"),
        _decoded(single.get(b"api-sign", b"")),
        body,
        _nonce_text(fields.get("nonce")),
        {name: value for name, value in fields.items() if name not in _OWN_FIELDS},
        repeat_key,
    )


def public_target(path: bytes, query: bytes) -> str:
    """Where a GET of ``/0/public/…`` goes, as it was asked for; raises Unreadable."""
    method = _method(path, PUBLIC, PUBLIC_METHODS)
    if len(query) > QUERY_BYTES_MAX:
        raise Unreadable(INVALID_ARGUMENTS, f"the parameters have more than {QUERY_BYTES_MAX} bytes")
    if not query:
        return PUBLIC + method
    _form(query)
    if any(byte <= 0x20 or byte >= 0x7F or byte == ord("#") for byte in query):
        raise Unreadable(INVALID_ARGUMENTS, "the parameters hold what is no part of an address")
    return f"{PUBLIC}{method}?{query.decode('ascii')}"


def validates(params: Mapping[str, object]) -> bool:
    """Whether an order is to be checked only; raises Unreadable where that cannot be told."""
    word = str(params.get("validate") if params.get("validate") is not None else "").lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise Unreadable(f"{INVALID_ARGUMENTS}:validate", "validate is neither true nor false")


def _method(path: bytes, start: str, known: Iterable[str]) -> str:
    """The path as it came, undecoded: there is one way to write each."""
    text = path.decode("latin-1")
    name = text.removeprefix(start)
    if name == text or name not in known:
        raise Unreadable(UNKNOWN_METHOD, "no method of Kraken's has this path")
    return name


def _single(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that count, each given once."""
    counted = (b"api-key", b"api-sign", b"content-type", b"idempotency-key")
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in counted:
            if name in found:
                raise Unreadable(INVALID_ARGUMENTS, f"the header {name.decode()} is given twice")
            found[name] = value
    return found


def _decoded(sign: bytes) -> bytes:
    try:
        return base64.b64decode(sign, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _nonce_text(value: object) -> str:
    """The nonce as it was written: it is signed as a text."""
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _fields(body: bytes, content_type: bytes) -> dict[str, object]:
    if b"json" in content_type.lower():
        return _json(body)
    return dict(_form(body)) if body else {}


def _check_names(fields: Mapping[str, object]) -> None:
    """A name that some reader takes for another one (``pair[]``, `` pair``, ``cl.ord.id``) is none of Kraken's."""
    strange = next((name for name in fields if not NAME.fullmatch(name)), None)
    if strange is not None:
        raise Unreadable(INVALID_ARGUMENTS, f"no parameter of Kraken's is called {strange[:40]!a}")


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=FIELDS_MAX,
            errors="strict",
        )
    except ValueError:
        raise Unreadable(INVALID_ARGUMENTS, "the parameters are no form of at most 200 fields") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable(INVALID_ARGUMENTS, "a parameter is given twice")
    return found


def _json(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_float=_exact, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        raise Unreadable(INVALID_ARGUMENTS, "the body is no JSON") from None
    if not isinstance(document, dict):
        raise Unreadable(INVALID_ARGUMENTS, "the body is no JSON object")
    if not _is_plain(document, DEPTH_MAX):
        raise Unreadable(INVALID_ARGUMENTS, f"the body is deeper than {DEPTH_MAX}, or holds half a character")
    return document


def _is_plain(value: object, depth: int) -> bool:
    """Whether it is no deeper than that, and all its texts can be written: JSON can name halves of a character."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return depth > 0 and all(_is_plain(name, 1) and _is_plain(part, depth - 1) for name, part in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(part, depth - 1) for part in value)
    return True


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable(INVALID_ARGUMENTS, "a name is given twice in one JSON object")
    return found


def _exact(text: str) -> Decimal:
    """A number of JSON's, exactly; not one whose digits would fill the memory once they are written out."""
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > 40:
        raise ValueError(text)
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
