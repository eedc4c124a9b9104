"""The kinds of clients that can be guarded, and how one is told without importing its library."""

from __future__ import annotations

import importlib.metadata
import inspect
import logging
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sealane.errors import SettingsError
from sealane.plugins import of_ccxt, of_krakenex, of_sdk
from sealane.plugins.turnstile import Turnstile


@dataclass(frozen=True)
class Family:
    """Clients that are hooked in the same way.

    Attributes:
        name: what errors call it.
        library: the distribution it comes in, for its version.
        classes: full names of classes; a client with one of them among its bases is of the family.
        key_names: the attributes of the key and the secret.
        needs: the methods that are hooked or used, each with the parameters that have to be there.
        call: the one of them that makes a request.
        awaited: whether that has to be a coroutine function; else it must not be one.
        hook: puts a client's private calls through a turnstile.
    """

    name: str
    library: str
    classes: frozenset[str]
    key_names: tuple[str, str]
    needs: Mapping[str, tuple[str, ...]]
    call: str
    awaited: bool
    hook: Callable[[Any, Turnstile], None]

    def key_pair(self, client: Any) -> tuple[str, str]:
        """The client's key and secret as they are now, empty where they are not set."""
        key, secret = (getattr(client, name, None) or "" for name in self.key_names)
        return str(key), str(secret)


_CCXT_NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fetch2": ("path", "api", "method", "params", "config"),
        "nonce": (),
        "throttle": (),
        "calculate_rate_limiter_cost": ("api", "method", "path", "params", "config"),
    }
)
_SDK_NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType({"request": ("auth",), "get_nonce": ()})

FAMILIES = (
    Family(
        name="krakenex.API",
        library="krakenex",
        classes=frozenset({"krakenex.api.API"}),
        key_names=("key", "secret"),
        needs=MappingProxyType({"query_private": ("method", "data"), "_nonce": ()}),
        call="query_private",
        awaited=False,
        hook=of_krakenex.hook,
    ),
    Family(
        name="ccxt.kraken",
        library="ccxt",
        classes=frozenset({"ccxt.kraken.kraken"}),
        key_names=("apiKey", "secret"),
        needs=_CCXT_NEEDS,
        call="fetch2",
        awaited=False,
        hook=of_ccxt.hook,
    ),
    Family(
        name="ccxt.async_support.kraken or ccxt.pro.kraken",
        library="ccxt",
        classes=frozenset({"ccxt.async_support.kraken.kraken", "ccxt.pro.kraken.kraken"}),
        key_names=("apiKey", "secret"),
        needs=MappingProxyType({**_CCXT_NEEDS, "close": ()}),
        call="fetch2",
        awaited=True,
        hook=of_ccxt.hook_async,
    ),
    # Before its base class, which its clients have too.
    Family(
        name="async Spot client of python-kraken-sdk",
        library="python-kraken-sdk",
        classes=frozenset({"kraken.base_api.SpotAsyncClient"}),
        key_names=("_key", "_secret"),
        needs=_SDK_NEEDS,
        call="request",
        awaited=True,
        hook=of_sdk.hook_async,
    ),
    Family(
        name="Spot client of python-kraken-sdk",
        library="python-kraken-sdk",
        classes=frozenset({"kraken.base_api.SpotClient"}),
        key_names=("_key", "_secret"),
        needs=_SDK_NEEDS,
        call="request",
        awaited=False,
        hook=of_sdk.hook,
    ),
)

_LIBRARIES = {name.partition(".")[0]: family.library for family in FAMILIES for name in family.classes}

TRIED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"krakenex": ("2.1.0", "2.2.2"), "ccxt": ("4.4.30", "4.5.90"), "python-kraken-sdk": ("3.1.0", "3.5.1")}
)
"""The oldest and the newest version of each library that the guard was tried with."""

SUPPORTED = (
    "guard takes krakenex.API (tried with {} and {}), ccxt's kraken, plain, async_support or pro ({} and {}), and the "
    "Spot clients of python-kraken-sdk, plain or async ({} and {})"
).format(*TRIED["krakenex"], *TRIED["ccxt"], *TRIED["python-kraken-sdk"])

logger = logging.getLogger("sealane.guard")
_told: set[tuple[str, str]] = set()


def family_of(client: object) -> Family:
    """The client's family; raises SettingsError that names its class and version where there is none or it is unfit."""
    bases = {_full_name(base) for base in type(client).__mro__}
    for family in FAMILIES:
        if family.classes & bases:
            _must_fit(client, family)
            _tell_if_untried(client, family)
            return family
    raise SettingsError(f"{_shown(type(client))} cannot be guarded: {SUPPORTED}")


def _must_fit(client: object, family: Family) -> None:
    lacking = [name for name, parameters in family.needs.items() if not _fits(client, name, parameters, family)]
    if lacking:
        raise SettingsError(
            f"{_shown(type(client))} cannot be guarded: it has not the {', '.join(lacking)} that a "
            f"{family.name} is hooked by; {SUPPORTED}"
        )


def _tell_if_untried(client: object, family: Family) -> None:
    """Log one warning for each version that was never tried: its methods fit, what they do may have changed."""
    oldest, newest = TRIED[family.library]
    version = _version(next(iter(family.classes)).partition(".")[0])  # a subclass may have a version of its own
    if version and _numbers(oldest) <= _numbers(version) <= _numbers(newest):
        return
    if (family.library, version) not in _told:
        _told.add((family.library, version))
        logger.warning(
            "%s %s is outside of what the guard was tried with, %s to %s: the methods that it hooks are there, whether "
            "they still do the same is not known",
            family.library,
            version or "of unknown version",
            oldest,
            newest,
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The three numbers of a release, to compare by; an unreadable part counts as 0, a suffix as nothing."""
    found = [re.match(r"\d+", part) for part in version.split(".")]
    numbers = [int(match[0]) if match else 0 for match in found]
    return tuple((*numbers, 0, 0, 0)[:3])


def _fits(client: object, name: str, parameters: tuple[str, ...], family: Family) -> bool:
    method = getattr(client, name, None)
    if not callable(method):
        return False
    if name == family.call and inspect.iscoroutinefunction(method) is not family.awaited:
        return False
    try:
        there = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return False
    return there.keys() >= set(parameters)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _shown(kind: type) -> str:
    """A class, with the version of the library that it or the nearest of its bases comes from."""
    for base in kind.__mro__:
        version = _version(base.__module__.partition(".")[0])
        if version:
            return f"{_full_name(kind)} (version {version})"
    return f"{_full_name(kind)} (of unknown version)"


def _version(package: str) -> str:
    """A package's version, "" where it is not to be had; nothing is imported for it."""
    version = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return importlib.metadata.version(_LIBRARIES.get(package, package))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""
