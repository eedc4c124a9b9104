"""The environment: each wrong value a finding of its own, and settings that contradict one another.

A wrong setting stops a program at the first one. Here a variable that is wrong is told and then taken for unset, so
that all are found at one look and the other checks have settings to work with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sealane.client.accounts import account_credentials, account_names
from sealane.client.settings import KRAKEN_URL, OFF, Settings
from sealane.core.nonce import parse_nonce
from sealane.core.secret import Credentials
from sealane.doctor.finding import Finding, fault, ok, skipped, warning
from sealane.doctor.names import VARIABLES
from sealane.errors import SettingsError
from sealane.gateway.settings import ServeSettings
from sealane.store import open_store
from sealane.store.open import ENGINES
from sealane.telemetry.lines import log_settings
from sealane.trading.limits import HardLimits
from sealane.transport.http import is_loopback

_NAME = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
_KIND = re.compile(r"([a-z][a-z0-9+.-]*):")


@dataclass(frozen=True)
class SettingsFacts:
    """The environment as understood: ``settings`` with what is wrong left out, and the accounts that are whole.

    ``is_whole`` is False where a program would stop at a setting.
    """

    environ: Mapping[str, str]
    settings: Settings
    accounts: tuple[Credentials, ...]
    wrong: tuple[Finding, ...]

    @property
    def is_whole(self) -> bool:
        """Whether a program could start with these settings."""
        return not any(finding.check == "setting" for finding in self.wrong)

    def is_wrong(self, name: str) -> bool:
        """Whether a program would stop at this variable."""
        return any(finding.check == "setting" and finding.subject == name for finding in self.wrong)

    @property
    def is_leased(self) -> bool:
        """Whether an engine keeps the nonces, and leases lanes to hosts."""
        kind = _KIND.match(self.settings.store)
        return kind is not None and kind[1] in ENGINES

    @property
    def folder(self) -> Path | None:
        """The data folder, None where there is none. With an engine it holds what is this host's alone."""
        kind = _KIND.match(self.settings.store)
        if self.is_leased:
            return Path(self.settings.folder).expanduser()
        if kind and kind[1] != "file":
            return None
        rest = self.settings.store.removeprefix("file:")
        return Path(rest[2:] if rest.startswith("///") else rest).expanduser()

    def names(self) -> dict[str, str]:
        """Account names by their keys' fingerprints."""
        return {who.fingerprint: who.account for who in self.accounts}


# --- facts --------------------------------------------------------------------------------------------------------


def read_settings(environ: Mapping[str, str], account: str | None = None) -> SettingsFacts:
    """Understand an environment as far as can be; ``account`` is the only one that is looked at, None for all."""
    settings, wrong = _settings(dict(environ))
    accounts, troubles = _accounts(environ, account)
    return SettingsFacts(environ, settings, tuple(accounts), (*wrong, *troubles))


def _settings(left: dict[str, str]) -> tuple[Settings, list[Finding]]:
    """The settings, and each wrong variable, which is then taken out."""
    wrong: list[Finding] = []
    while True:
        try:
            settings = Settings.from_env({name: value for name, value in left.items() if name != "KRAKEN_LAST_NONCE"})
            open_store(settings.store, folder=settings.folder)
        except SettingsError as error:
            named = [name for name in _NAME.findall(str(error)) if left.get(name, "").strip()]
            culprit = named[0] if named else next((name for name in ("SEALANE_STORE", "DATA_DIR") if name in left), "")
            wrong.append(fault("setting", culprit or "environment", str(error), f"mend {culprit or 'it'}, or unset it"))
            if not left.pop(culprit, ""):
                return Settings(), wrong
        else:
            return settings, wrong


def _accounts(environ: Mapping[str, str], wanted: str | None) -> tuple[list[Credentials], list[Finding]]:
    found: list[Credentials] = []
    wrong: list[Finding] = []
    try:
        names = account_names(environ) if wanted is None else (wanted,)
    except SettingsError as error:
        return [], [fault("account", "accounts", str(error), "mend the variable that it names")]
    for name in names:
        try:
            found.append(account_credentials(environ, name))
        except SettingsError as error:
            wrong.append(fault("account", name, str(error), "set both halves of one key pair for each account, once"))
    return found, wrong


# --- what they mean -----------------------------------------------------------------------------------------------


def judge_settings(facts: SettingsFacts) -> Iterator[Finding]:
    """All that is wrong with the settings, or contradicts."""
    yield from facts.wrong
    faces = list(_faces(dict(facts.environ)))
    yield from faces
    if facts.is_whole and not faces:
        yield ok("setting", "environment", "every setting has a value that is one")
    yield from _who(facts)
    yield _store(facts)
    yield _url(facts.settings)
    yield _tier(facts.settings)
    yield from _last_nonce(facts.environ)
    yield from _lanes(facts)
    if facts.settings.hard_buy_off:
        yield ok("hard-buy-off", "HARD_BUY_OFF", "buys are blocked")
    yield from _coinbase(facts.environ)


def _faces(left: dict[str, str]) -> Iterator[Finding]:
    """What only the service, the executor and the log read: each refuses to start with a wrong value."""
    for named, read in _READERS.items():
        while True:
            try:
                read(left)
            except SettingsError as error:
                culprits = [name for name in named if name in str(error) and left.get(name, "").strip()]
                culprit = culprits[0] if culprits else next((name for name in named if left.get(name, "").strip()), "")
                if culprit == "SEALANE_HOST":  # an option may allow it
                    told = f"'sealane serve' starts with it only where --allow-network is given: {error}"
                    yield warning("setting", culprit, told, "set SEALANE_ALLOW_NETWORK=1, or unset it")
                else:
                    yield fault("setting", culprit or "environment", str(error), f"mend {culprit or 'it'}, or unset it")
                if not left.pop(culprit, ""):
                    break
            else:
                break


def _limits_of(environ: Mapping[str, str]) -> HardLimits:
    """``HARD_BUY_OFF`` has a check of its own."""
    return HardLimits.from_env({name: value for name, value in environ.items() if name != "HARD_BUY_OFF"})


_READERS: dict[tuple[str, ...], Callable[[Mapping[str, str]], object]] = {
    ("SEALANE_HOST", "PORT", "SEALANE_WATCH_S", "SEALANE_ALLOW_NETWORK"): ServeSettings.from_env,
    ("SEALANE_MAX_ORDER_USD", "SEALANE_MIN_CAPITAL_USD", "SEALANE_ALLOWED_PAIRS"): _limits_of,
    ("SEALANE_LOG", "SEALANE_LOG_LEVEL"): log_settings,
}


def _who(facts: SettingsFacts) -> Iterator[Finding]:
    for who in facts.accounts:
        yield ok("account", who.account, f"key {who.shown_key}, with its secret")
    if not facts.accounts and not any(finding.check == "account" for finding in facts.wrong):
        yield warning(
            "account",
            "accounts",
            "there is no API key: public calls alone can be made",
            "set KRAKEN_API_KEY and KRAKEN_API_SECRET, and KRAKEN_USER_<name>_API_KEY and _API_SECRET for a user",
        )


def _store(facts: SettingsFacts) -> Finding:
    store, named = facts.settings.store, facts.environ.get("SEALANE_STORE", "").strip()
    folder = facts.environ.get("DATA_DIR", "").strip()
    if store.startswith("memory:"):
        return _memory(facts)
    if facts.is_leased:
        kind = store.partition(":")[0]
        return ok("store", "SEALANE_STORE", f"nonces are kept by an engine ({kind}:), which leases lanes to hosts")
    if facts.folder is None:
        return skipped("store", "SEALANE_STORE", f"the store is not in a folder ({store.partition(':')[0]}:)")
    if named and folder and facts.folder.resolve() != Path(folder).expanduser().resolve():
        return warning(
            "store",
            "SEALANE_STORE",
            f"it names {facts.folder} and DATA_DIR names {folder}: nonces are kept in the first, and a volume that is "
            "mounted at the second keeps nothing",
            "name one folder: unset SEALANE_STORE, or make both the same",
        )
    return ok("store", "SEALANE_STORE" if named else "DATA_DIR", f"nonces are kept in {facts.folder}")


def _memory(facts: SettingsFacts) -> Finding:
    if not facts.accounts:
        return ok("store", "SEALANE_STORE", "nonces are kept in memory, for one process and one run")
    message = (
        "nonces are kept in memory: every restart forgets them, two processes repeat them, and so do the records of "
        "orders"
    )
    remedy = "unset SEALANE_STORE and set DATA_DIR to a folder that lasts; memory: is for tests"
    if is_loopback(facts.settings.url):
        return warning("store", "SEALANE_STORE", message, remedy)
    return fault("store", "SEALANE_STORE", message, remedy)


def _url(settings: Settings) -> Finding:
    if settings.url == KRAKEN_URL:
        return ok("url", "KRAKEN_SPOT_URL", "calls go to Kraken itself")
    if is_loopback(settings.url):
        return ok("url", "KRAKEN_SPOT_URL", f"calls go to {settings.url}: a simulator or a gateway of this machine")
    return warning(
        "url",
        "KRAKEN_SPOT_URL",
        f"calls go to {settings.url}, which is not Kraken: whoever runs that host sees every call, and could hold it",
        f"unset it for {KRAKEN_URL}, unless that host is a gateway of your own",
    )


def _tier(settings: Settings) -> Finding:
    if settings.tier == OFF and settings.url == KRAKEN_URL:
        return warning(
            "tier",
            "SEALANE_TIER",
            "it is off against Kraken itself: nothing keeps its limits, and refusals can end in a temporary lockout",
            "set it to your verification tier: starter, intermediate or pro",
        )
    limits = settings.limits()
    told = f"the limits of {limits.name} are kept" if limits else "off, since a loopback address counts for itself"
    return ok("tier", "SEALANE_TIER", told)


def _last_nonce(environ: Mapping[str, str]) -> Iterator[Finding]:
    text = environ.get("KRAKEN_LAST_NONCE", "").strip()
    if not text:
        return
    try:
        parse_nonce(text.encode(errors="replace"))
    except ValueError as error:
        yield warning(
            "last-nonce",
            "KRAKEN_LAST_NONCE",
            f"it is passed over: {error}. Without a good nonce file lanes start from the clock",
            "set it to one plain decimal integer, such as the last nonce in the logs, or unset it",
        )


def last_nonce_of(environ: Mapping[str, str]) -> int:
    """``KRAKEN_LAST_NONCE``, 0 where it is unset or bad."""
    try:
        return parse_nonce(environ.get("KRAKEN_LAST_NONCE", "").strip().encode(errors="replace"))
    except ValueError:
        return 0


def _lanes(facts: SettingsFacts) -> Iterator[Finding]:
    if facts.settings.lanes == "per-key":
        yield ok(
            "lanes",
            "SEALANE_LANES",
            "each key has a lane of its own: get_kraken_api_lock() of the documents is refused, since there is no one "
            "lock for all keys",
        )


def _coinbase(environ: Mapping[str, str]) -> Iterator[Finding]:
    has = {name: bool(environ.get(name, "").strip()) for name in VARIABLES if name.startswith("COINBASE_")}
    key, secret = has["COINBASE_API_KEY"], has["COINBASE_API_SECRET"] or has["COINBASE_PEM_CONTENT"]
    if key and secret:
        yield ok("coinbase", "COINBASE_API_KEY", "a Coinbase key with its secret")
    elif key or secret:
        missing = "COINBASE_API_SECRET or COINBASE_PEM_CONTENT" if key else "COINBASE_API_KEY"
        yield warning(
            "coinbase", missing, "half of the Coinbase key is set: that broker cannot connect", f"set {missing}"
        )
