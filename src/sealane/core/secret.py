"""Secrets that cannot be printed by accident, and the names by which keys may be shown."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from sealane.errors import SettingsError

SHOWN_CHARACTERS = 4
FINGERPRINT_CHARACTERS = 16


class Secret:
    """Bytes that only ``reveal()`` gives out; ``repr``, ``str`` and pickling do not."""

    __slots__ = ("__value",)

    def __init__(self, value: bytes) -> None:
        self.__value = value

    def reveal(self) -> bytes:
        """The bytes themselves: for signing, never for a message."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled: it would leave this process in clear")


def masked(api_key: str) -> str:
    """How a key is shown to people: its last four characters, or none where it is too short to spare them."""
    return "…" + (api_key[-SHOWN_CHARACTERS:] if len(api_key) > 2 * SHOWN_CHARACTERS else "")


@dataclass(frozen=True)
class Credentials:
    """One Kraken API key, with what signs for it.

    ``fingerprint`` names the key in files and lanes: it is derived from the key's public half alone.
    """

    account: str
    api_key: str = field(repr=False)
    secret: Secret
    otp: Secret | None = None

    @property
    def shown_key(self) -> str:
        """The key as a person may see it, such as ``…Ab3x``."""
        return masked(self.api_key)

    @property
    def fingerprint(self) -> str:
        """A stable name of the key that does not tell the key."""
        return hashlib.sha256(self.api_key.encode()).hexdigest()[:FINGERPRINT_CHARACTERS]


def credentials(account: str, api_key: str, api_secret: str, otp: str | None = None, *, named: str) -> Credentials:
    """Check and wrap one key pair; ``named`` is what an error calls the secret, such as a variable's name."""
    if not isinstance(api_key, str) or not isinstance(api_secret, str) or not api_key:
        raise SettingsError(f"the key pair of {account} must be two texts that are not empty")
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise SettingsError(f"the API key of {account} has characters that no Kraken key has: copy it again")
    try:
        decoded = base64.b64decode(api_secret, validate=True)
    except ValueError:
        raise SettingsError(f"{named} is not valid base64: copy the private key again from Kraken, whole") from None
    if not decoded:
        raise SettingsError(f"{named} is empty: set it to the private key that Kraken showed with the API key")
    return Credentials(account, api_key, Secret(decoded), Secret(otp.encode()) if otp else None)
