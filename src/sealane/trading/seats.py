"""The accounts at the table: each with its broker, and what is asked of the client below that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sealane.broker import AccountType, Broker, KrakenBroker
from sealane.client.accounts import MASTER, account_credentials, all_credentials
from sealane.errors import SettingsError


class Client(Protocol):
    """What is asked of an account's ``Kraken`` besides its broker."""

    def statistics(self) -> Any:
        """Figures; ``quarantined`` is the diagnosis of a stopped key."""
        ...

    def orders(self, *, in_doubt: bool = False, limit: int = 100) -> Sequence[Any]:
        """Orders known here; those in doubt have an ``id``."""
        ...


@dataclass(frozen=True)
class Seat:
    """One account: its name, its broker, and the client below that."""

    account: str
    broker: Broker
    client: Client


def accounts_named(environ: Mapping[str, str], wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """These accounts as they are spelled in the environment, each once; all of them where none is named.

    Raises SettingsError where one has no key, or where there is none at all.
    """
    if wanted:
        found = [account_credentials(environ, name).account for name in wanted]
    else:
        found = [who.account for who in all_credentials(environ)]
    if not found:
        raise SettingsError("no account has an API key: set KRAKEN_API_KEY and KRAKEN_API_SECRET")
    return tuple(dict.fromkeys(found))


@contextmanager
def kraken_seats(accounts: Sequence[str]) -> Iterator[tuple[Seat, ...]]:
    """The accounts of the environment at Kraken, closed at the end. Their balances are asked for anew every time."""
    with ExitStack() as stack:
        yield tuple(_seat(account, stack) for account in accounts)


def _seat(account: str, stack: ExitStack) -> Seat:
    if account == MASTER:
        broker = KrakenBroker(AccountType.MASTER, balance_cache_s=0)
    else:
        broker = KrakenBroker(AccountType.USER, account, balance_cache_s=0)
    stack.callback(broker.close)
    return Seat(account, broker, broker.client)
