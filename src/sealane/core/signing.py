"""The bytes of a private request, and Kraken's ``API-Sign`` over exactly those bytes.

Source: Kraken's page on Spot REST authentication; its published example is a test.
``API-Sign = base64(HMAC-SHA512(base64decode(secret), path + SHA256(nonce + body)))``
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlencode

from sealane.core.secret import Credentials
from sealane.errors import SettingsError

PRIVATE = "/0/private/"
PUBLIC = "/0/public/"
_JSON_ONLY = ("AddOrderBatch", "CancelOrderBatch")
METHOD_NAME = re.compile(r"[A-Za-z]{1,40}(/[A-Za-z]{1,40})?")


@dataclass(frozen=True)
class Request:
    """One HTTP request to Kraken: what a transport sends, byte for byte.

    ``limit_s`` is how long its answer may take, where that is shorter than the transport's own limit.
    """

    verb: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)
    limit_s: float | None = None


def api_sign(secret: bytes, path: str, nonce: str, body: bytes) -> str:
    """The value of the ``API-Sign`` header for one request."""
    digest = hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(hmac.digest(secret, path.encode() + digest, "sha512")).decode()


@dataclass(frozen=True)
class Draft:
    """A private call that lacks only its nonce: checked and encoded before a turn is taken, signed for each attempt."""

    who: Credentials
    path: str
    rest: bytes = field(repr=False)
    as_json: bool

    def signed(self, nonce: int) -> Request:
        """The POST with this nonce."""
        number = str(nonce)
        if self.as_json:
            body, kind = b'{"nonce":%b%b' % (number.encode(), self.rest), b"application/json"
        else:
            body, kind = b"nonce=%b%b" % (number.encode(), self.rest), b"application/x-www-form-urlencoded"
        sign = api_sign(self.who.secret.reveal(), self.path, number, body)
        headers = ((b"API-Key", self.who.api_key.encode()), (b"API-Sign", sign.encode()), (b"Content-Type", kind))
        return Request("POST", self.path, headers, body)


def draft(who: Credentials, method: str, params: Mapping[str, object]) -> Draft:
    """Check and encode one private call; raises SettingsError for parameters that cannot be sent.

    Form-encoded wherever a form can say it; Kraken takes batches, and nested values, as JSON alone.
    """
    path = PRIVATE + checked_method(method)
    fields = _fields(params)
    if who.otp is not None:
        fields["otp"] = who.otp.reveal().decode()
    if method in _JSON_ONLY or any(_nested(value) for value in fields.values()):
        text = json.dumps(_exact(fields), separators=(",", ":")).encode()
        return Draft(who, path, b"," + text[1:] if fields else b"}", as_json=True)
    form = _form(fields)
    return Draft(who, path, b"&" + form if form else b"", as_json=False)


def private_request(who: Credentials, method: str, params: Mapping[str, object], nonce: int) -> Request:
    """The signed POST for one private call."""
    return draft(who, method, params).signed(nonce)


def public_request(method: str, params: Mapping[str, object]) -> Request:
    """The GET for one public call."""
    query = _form(_fields(params)).decode()
    return Request("GET", PUBLIC + checked_method(method) + ("?" + query if query else ""), (), b"")


def checked_method(method: str) -> str:
    """The method's name, if it can stand in a path; raises SettingsError otherwise."""
    if not METHOD_NAME.fullmatch(method):
        raise SettingsError(f"{method!r} is no Kraken method: names look like Balance or Earn/Strategies")
    return method


def _fields(params: Mapping[str, object]) -> dict[str, object]:
    """The parameters without those that are None: an absent value is not sent."""
    for name in ("nonce", "otp"):
        if name in params:
            raise SettingsError(
                f"leave {name!r} out of the parameters: the lane draws the nonce, the account holds the otp"
            )
    return {name: value for name, value in params.items() if value is not None}


def _nested(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, (list, tuple)) and any(not _scalar(item) for item in value))


def _scalar(value: object) -> bool:
    return isinstance(value, (str, int, float, Decimal))


def _text(name: str, value: object) -> str:
    """One form value. Numbers never in exponent form, which Kraken would not read as meant."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    if isinstance(value, (Decimal, float)):
        return _number(name, value)
    if isinstance(value, (list, tuple)):
        return ",".join(_text(name, item) for item in value)
    raise SettingsError(
        f"parameter {name!r} is a {type(value).__name__}: give a str, int, Decimal, bool or a list of them"
    )


def _number(name: str, value: Decimal | float) -> str:
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not exact.is_finite():
        raise SettingsError(f"parameter {name!r} is {value}: give a finite number")
    return format(exact, "f")


def _exact(value: object, name: str = "amount") -> object:
    """The same for JSON: amounts go as texts, so that no reader rounds them."""
    if isinstance(value, Mapping):
        return {str(key): _exact(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exact(item, name) for item in value]
    if isinstance(value, (Decimal, float)):
        return _number(name, value)
    if value is None or isinstance(value, (str, int)):
        return value
    raise SettingsError(
        f"parameter {name!r} is a {type(value).__name__}: Kraken takes texts, numbers, lists and mappings"
    )


def _form(fields: Mapping[str, object]) -> bytes:
    try:
        return urlencode({name: _text(name, value) for name, value in fields.items()}).encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"a parameter holds {error.object!r}, which cannot be sent as text") from None
