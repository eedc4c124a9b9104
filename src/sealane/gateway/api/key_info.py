"""GetApiKeyInfo of a virtual key: the gateway's own answer, because Kraken's tells the real key's text."""

from __future__ import annotations

from sealane.gateway.api.envelope import Answer, result
from sealane.gateway.api.request import Signed
from sealane.gateway.keys.key_file import Held

NONCE_WINDOW = 256
"""Above 0: nonces may come out of order here (``keys/replay_guard.py``), so a later one fences no earlier request."""
_PERMISSIONS = {
    "read": ("query-funds", "query-open-trades", "query-closed-trades", "query-ledger", "export-data"),
    "trade": ("modify-trades",),
    "cancel": ("close-trades",),
    "fund": ("add-funds", "withdraw-funds", "earn-funds"),
    "ws-token": ("create-ws-token",),
}


def key_info(signed: Signed, held: Held) -> Answer:
    """What the key is, in the fields that Kraken has for it."""
    granted = {name for kind in held.policy.allow for name in _PERMISSIONS.get(kind, ())}
    return result(
        {
            "apiKeyName": held.name,
            "apiKey": signed.api_key,
            "nonce": signed.nonce_text,
            "nonceWindow": NONCE_WINDOW,
            "permissions": sorted(granted),
            "iban": "",
            "validUntil": str(int(held.expires_s or 0)),
            "queryFrom": "0",
            "queryTo": "0",
            "createdTime": str(int(held.since_s)),
            "modifiedTime": str(int(held.since_s)),
            "ipAllowlist": [],
            "lastUsed": "0",
        }
    )
