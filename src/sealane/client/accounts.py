"""Accounts by their names in the environment: MASTER, and one for every ``KRAKEN_USER_<name>_API_KEY``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sealane.core.secret import Credentials, credentials
from sealane.errors import SettingsError

MASTER = "MASTER"
_USER = re.compile(r"KRAKEN_USER_(?P<name>.+)_API_(?:KEY|SECRET)")


def account_names(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The accounts of which at least one half of a key pair is set, MASTER first, users in the order of their names."""
    matches = (_USER.fullmatch(name) for name, value in environ.items() if value.strip())
    users = sorted({match["name"] for match in matches if match})
    if MASTER in users:
        raise SettingsError(f"KRAKEN_USER_{MASTER}_… names a user like the master account: choose another name")
    master = any(environ.get(f"KRAKEN_API_{half}", "").strip() for half in ("KEY", "SECRET"))
    return ((MASTER,) if master else ()) + tuple(users)


def account_credentials(environ: Mapping[str, str], account: str = MASTER) -> Credentials:
    """One account's key pair; raises SettingsError that names the variable that is missing or wrong.

    A user's name is taken as it stands in the environment, or in any case of its letters where that is unambiguous.
    """
    known = account_names(environ)
    name = _as_spelled(account, known)
    if name not in known:
        there = f"; there are: {', '.join(known)}" if known else ""
        raise SettingsError(f"account {account} has no API key: set {_variable(name, 'KEY')}{there}")
    found = _pair(environ, name)
    for other in known:
        if other != name and environ.get(_variable(other, "KEY"), "").strip() == found.api_key:
            raise SettingsError(
                f"{_variable(other, 'KEY')} and {_variable(name, 'KEY')} hold the same key: "
                "an account is one key, so remove one of them"
            )
    return found


def all_credentials(environ: Mapping[str, str]) -> tuple[Credentials, ...]:
    """Every account's key pair; the first that is wrong raises."""
    return tuple(account_credentials(environ, name) for name in account_names(environ))


def _pair(environ: Mapping[str, str], account: str) -> Credentials:
    halves = {half: environ.get(_variable(account, half), "").strip() for half in ("KEY", "SECRET")}
    for half, value in halves.items():
        if not value:
            raise SettingsError(f"{_variable(account, half)} is not set, though its other half is: set both or neither")
    otp = environ.get(_variable(account, "OTP"), "").strip() or None
    return credentials(account, halves["KEY"], halves["SECRET"], otp, named=_variable(account, "SECRET"))


def _variable(account: str, part: str) -> str:
    return f"KRAKEN_API_{part}" if account == MASTER else f"KRAKEN_USER_{account}_API_{part}"


def _as_spelled(account: str, known: tuple[str, ...]) -> str:
    if account in known:
        return account
    folded = [name for name in known if name.casefold() == account.casefold()]
    if len(folded) > 1:
        raise SettingsError(f"account {account} could be any of {', '.join(folded)}: spell it as in the environment")
    return MASTER if account.casefold() == MASTER.casefold() else folded[0] if folded else account
