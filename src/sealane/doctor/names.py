"""The variables that Sealane reads, and what a misspelt one was meant to be.

``VARIABLES`` equals the settings page; a test holds the two together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from sealane.doctor.finding import Finding, ok, warning

VARIABLES = (
    "KRAKEN_API_KEY",
    "KRAKEN_API_SECRET",
    "KRAKEN_API_OTP",
    "KRAKEN_SPOT_URL",
    "KRAKEN_LAST_NONCE",
    "DATA_DIR",
    "HARD_BUY_OFF",
    "COINBASE_API_KEY",
    "COINBASE_API_SECRET",
    "COINBASE_PEM_CONTENT",
    "COINBASE_API_URL",
    "SEALANE_STORE",
    "SEALANE_LANES",
    "SEALANE_NONCE_UNIT",
    "SEALANE_MIN_INTERVAL_MS",
    "SEALANE_VISIBILITY_LAG_S",
    "SEALANE_SYNC_INTENTS",
    "SEALANE_TIER",
    "SEALANE_HISTORY_COST",
    "SEALANE_MAX_ORDER_USD",
    "SEALANE_MIN_CAPITAL_USD",
    "SEALANE_ALLOWED_PAIRS",
    "SEALANE_HOST",
    "SEALANE_ALLOWED_HOSTS",
    "SEALANE_SHOW_AMOUNTS",
    "SEALANE_TLS_CERT",
    "SEALANE_TLS_KEY",
    "SEALANE_UNIX_SOCKET",
    "SEALANE_WATCH_S",
    "SEALANE_ALLOW_NETWORK",
    "SEALANE_LOG",
    "SEALANE_LOG_LEVEL",
)
USER_PARTS = ("API_KEY", "API_SECRET", "API_OTP")
OF_THE_TESTS = ("SEALANE_SOAK", "SEALANE_SEED")
SIMILAR = 0.86
"""How alike a name outside our prefixes must be to be taken for one of ours."""
SIMILAR_OURS = 0.6
_OURS = re.compile(r"(SEALANE|KRAKEN|COINBASE)_", re.IGNORECASE)
_USER = re.compile(r"KRAKEN_USER_(.+)_API_(KEY|SECRET|OTP)")
_USER_LIKE = re.compile(r"KRAKEN_USER_(.+?)_?(API)?_?(KEY|SECRET|OTP|PRIVATE_KEY)", re.IGNORECASE)


def meant(name: str) -> str | None:
    """What a variable's name was probably meant to be: None where it is right, or nobody's business.

    Returns "" for a name that looks like ours and is like none of them.
    """
    if name in VARIABLES or name in OF_THE_TESTS or _USER.fullmatch(name):
        return None
    user = _USER_LIKE.fullmatch(name)
    if user:
        part = {"PRIVATE_KEY": "SECRET"}.get(user[3].upper(), user[3].upper())
        return f"KRAKEN_USER_{user[1]}_API_{part}"
    is_ours = _OURS.match(name) is not None
    near = difflib.get_close_matches(name.upper(), VARIABLES, 1, SIMILAR_OURS if is_ours else SIMILAR)
    return near[0] if near else "" if is_ours else None


def judge_names(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Every variable that is set and read by nobody, though it looks like one of ours."""
    wrong = {name: spelt for name in sorted(environ) if (spelt := meant(name)) is not None}
    for name, spelt in wrong.items():
        remedy = f"write {spelt}" if spelt else "remove it, or look its name up in docs/settings.md"
        seen = " (which is set too)" if spelt and spelt in environ else ""
        yield warning("variable-name", name, f"nothing here reads a variable of this name{seen}", remedy)
    if not wrong:
        yield ok("variable-name", "environment", "every variable that looks like one of Sealane's is one")
