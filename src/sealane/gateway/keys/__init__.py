"""Virtual keys: what a bot signs with, and what it may do with it. Nothing here speaks HTTP.

    create ──▶ key_file ──▶ keys.json, master.key ──▶ KeyRing.find ──▶ policy ──▶ replay_guard ──▶ ledger
    (sealane keys)           (0600, in one folder)      (the gateway, per call)

1. ``keys.json`` holds names, key texts and policies, and no secret. A secret is derived, when it is needed, from
   ``master.key``, the key's text and its generation; so what tells which key may do what can be read and backed up
   without giving a secret away.
2. What a command changes holds from the gateway's next call on: it looks at the file's identity each time.
3. What cannot be read is refused: an unreadable list is an empty one, and says so, never yesterday's.
4. What decides (``policy``) is pure; what is asked at every call (``KeyRing.find``, ``ReplayGuard.accept``,
   ``Ledger``) takes microseconds, or one small write.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sealane.client.accounts import account_names
from sealane.client.folders import data_folder, simulated_folder

GATEWAY_FOLDER = "gateway"


def gateway_folder(environ: Mapping[str, str]) -> Path:
    """Where the gateway keeps its keys and records: apart for the built-in simulator, whose keys never become live."""
    folder = data_folder(environ) if account_names(environ) else simulated_folder(environ)
    return folder / GATEWAY_FOLDER
