"""Who calls: the key, the signature over the exact bytes, the nonce, the second factor, the permission.

In this order, each with its own error. The signature is computed from the bytes as they came in, never from fields
that were parsed and written again, so that a client that signs something else than it sends is found out.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any

from sealane.simulator.accounts import Account
from sealane.simulator.facts import (
    INVALID_NONCE,
    INVALID_SIGNATURE,
    NONCE_LIMIT,
    PERMISSION_DENIED,
    Refused,
    Switches,
)
from sealane.simulator.methods import Method

NONCE_DIGITS_MAX = 20
WINDOW_NONCES_KEPT = 100_000


def signature(secret: bytes, path: str, nonce: str, body: bytes) -> bytes:
    """The 64 bytes of HMAC-SHA512 over path + SHA256(nonce + body); `API-Sign` is their base64."""
    digest = hashlib.sha256(nonce.encode() + body).digest()
    return hmac.digest(secret, path.encode() + digest, "sha512")


def nonce_text(fields: dict[str, Any]) -> str:
    """The nonce as the client wrote it, from a form or JSON (number or text); empty when missing."""
    nonce = fields.get("nonce", "")
    return str(nonce) if isinstance(nonce, (str, int)) and not isinstance(nonce, bool) else ""


def check_signature(account: Account, path: str, nonce: str, body: bytes, sign: str) -> None:
    """Refuse with `EAPI:Invalid signature` unless `sign` is right for exactly these bytes."""
    try:
        given = base64.b64decode(sign, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(INVALID_SIGNATURE) from None
    if not hmac.compare_digest(given, signature(account.secret, path, nonce, body)):
        raise Refused(INVALID_SIGNATURE)


def read_nonce(text: str) -> int:
    """The nonce as an int; refused unless it is a plain decimal integer below 2**63."""
    if not text.isascii() or not text.isdecimal() or len(text) > NONCE_DIGITS_MAX or int(text) >= NONCE_LIMIT:
        raise Refused(INVALID_NONCE)
    return int(text)


def check_nonce(account: Account, nonce: int, switches: Switches) -> None:
    """Refuse a nonce that is not above the highest accepted one less the key's window."""
    if nonce <= account.highest_nonce - account.nonce_window:
        raise Refused(INVALID_NONCE)
    if not switches.window_allows_replay and nonce in account.window_nonces:
        raise Refused(INVALID_NONCE)


def accept_nonce(account: Account, nonce: int) -> None:
    """Note an accepted nonce. The highest one only rises, also when an older one came in through the window."""
    account.highest_nonce = max(account.highest_nonce, nonce)
    if account.nonce_window:
        account.window_nonces.add(nonce)
        if len(account.window_nonces) > WINDOW_NONCES_KEPT:
            floor = account.highest_nonce - account.nonce_window
            account.window_nonces = {kept for kept in account.window_nonces if kept > floor}


def check_otp(account: Account, fields: dict[str, Any], switches: Switches) -> None:
    """Refuse a call without the account's second factor, if it has one."""
    if account.otp is not None and str(fields.get("otp", "")) != account.otp:
        raise Refused(switches.otp_error)


def check_permission(account: Account, method: Method) -> None:
    """Refuse a call for which the key has no permission."""
    if not method.allowed(account.permissions):
        raise Refused(PERMISSION_DENIED)
