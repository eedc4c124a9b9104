"""What a virtual key is, and how its secret is made.

1. A key's text is public, as Kraken's are: 56 characters, ``SEALANE`` and 49 random ones.
2. Its secret is 64 bytes: six fixed ones, so that its text starts with ``SEALANE/`` and is known where it leaks, and
   58 of HMAC-SHA512 over the key's text and generation. What makes it secret is the 64 random bytes of the master.
3. Texts and generations are never used twice, so neither is a secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sealane.core.secret import FINGERPRINT_CHARACTERS, Secret, masked
from sealane.errors import SettingsError
from sealane.gateway.keys.policy import Policy

KEY_PREFIX, KEY_CHARACTERS = "SEALANE", 56
SECRET_BYTES, MASTER_BYTES = 64, 64
_SECRET_START = base64.b64decode("SEALANE/")
_LABEL = b"sealane virtual key, secret\0"
_CHECK_LABEL = b"sealane virtual key, check of the master\0"
_LETTERS = string.ascii_letters + string.digits
_CHECK_BYTES = 8


@dataclass(frozen=True)
class Credential:
    """One key text of a virtual key. ``until_s`` is when it ends after a rotation (Unix time), None for the current."""

    key: str = field(repr=False)
    generation: int
    until_s: float | None = None

    @property
    def shown_key(self) -> str:
        """The key as it stands in lists, such as ``…Ab3x``."""
        return masked(self.key)

    @property
    def fingerprint(self) -> str:
        """A stable name of the key text, for files."""
        return key_fingerprint(self.key)

    def is_over(self, now_s: float) -> bool:
        """Whether it was rotated out and its grace has passed."""
        return self.until_s is not None and now_s >= self.until_s


@dataclass(frozen=True)
class VirtualKey:
    """A virtual key as it is kept; times are Unix time in seconds.

    Attributes:
        name: how people call it; it stays when the key is rotated, and is never used again.
        account: whose lane its calls take.
        policy: what it may do.
        credentials: its key texts, the current one last.
        created_s, expires_s, revoked_s: None where it does not expire, was not revoked.
        paused: all its calls are refused until it is resumed.
    """

    name: str
    account: str
    policy: Policy
    credentials: tuple[Credential, ...]
    created_s: float
    expires_s: float | None = None
    paused: bool = False
    revoked_s: float | None = None

    @property
    def current(self) -> Credential:
        """The key text to use."""
        return self.credentials[-1]

    def status(self, now_s: float) -> str:
        """``"active"``, ``"paused"``, ``"expired"`` or ``"revoked"``."""
        if self.revoked_s is not None:
            return "revoked"
        if self.expires_s is not None and now_s >= self.expires_s:
            return "expired"
        return "paused" if self.paused else "active"

    def stored(self) -> dict[str, Any]:
        """The key as plain JSON values; no secret is among them."""
        return {**vars(self), "policy": self.policy.stored(), "credentials": [vars(one) for one in self.credentials]}

    @classmethod
    def loaded(cls, stored: Mapping[str, Any]) -> VirtualKey:
        """The key that ``stored`` wrote; raises SettingsError where it is none."""
        try:
            fields = dict(stored)
            policy = Policy.loaded(fields.pop("policy"))
            credentials = tuple(_credential(one) for one in fields.pop("credentials"))
            key = cls(policy=policy, credentials=credentials, **fields)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise SettingsError(f"not a virtual key: {error}") from None
        _check(key)
        return key


def _credential(stored: Mapping[str, Any]) -> Credential:
    one = Credential(**stored)
    if not _is_key(one.key) or type(one.generation) is not int or not _is_time(one.until_s, none=True):
        raise ValueError(f"a key text or its generation is not one: {one}")
    return one


def _check(key: VirtualKey) -> None:
    """A field of another kind would be taken for yes or no somewhere: better none than that."""
    times = _is_time(key.created_s) and _is_time(key.expires_s, none=True) and _is_time(key.revoked_s, none=True)
    texts = isinstance(key.name, str) and isinstance(key.account, str) and key.name and key.account
    if not texts or not times or not isinstance(key.paused, bool) or not key.credentials:
        raise SettingsError(f"not a virtual key: a field of {key.name!r} is missing or of another kind")


def _is_time(value: object, *, none: bool = False) -> bool:
    return (none and value is None) or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _is_key(text: object) -> bool:
    return isinstance(text, str) and len(text) == KEY_CHARACTERS and text.startswith(KEY_PREFIX) and text.isalnum()


def new_key() -> str:
    """A key text that nobody has had."""
    return KEY_PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(KEY_CHARACTERS - len(KEY_PREFIX)))


def key_fingerprint(key: str) -> str:
    """A stable name of a key text that does not tell it, as ``Credentials.fingerprint``."""
    return hashlib.sha256(key.encode()).hexdigest()[:FINGERPRINT_CHARACTERS]


def secret_of(master: Secret, credential: Credential) -> Secret:
    """The 64 bytes that a key text signs with."""
    message = _LABEL + credential.key.encode() + b"\0" + str(credential.generation).encode()
    derived = hmac.digest(master.reveal(), message, "sha512")
    return Secret(_SECRET_START + derived[: SECRET_BYTES - len(_SECRET_START)])


def secret_text(secret: Secret) -> str:
    """A secret as a bot is given it: base64, 88 characters."""
    return base64.b64encode(secret.reveal()).decode()


def check_of(master: Secret) -> str:
    """What tells one master from another without telling either."""
    return hmac.digest(master.reveal(), _CHECK_LABEL, "sha512")[:_CHECK_BYTES].hex()
