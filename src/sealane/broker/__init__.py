"""Brokers: an account's balance, orders and positions behind one surface that fails closed."""

from sealane.broker.account_broker import BrokerFigures
from sealane.broker.adapter import KrakenBrokerAdapter
from sealane.broker.coinbase_broker import CoinbaseBroker
from sealane.broker.kraken_broker import KrakenBroker
from sealane.broker.port import AccountType, BalanceUnknown, Broker, DetailedBalance
from sealane.broker.recovery import RecoveryFigures

__all__ = [
    "AccountType",
    "BalanceUnknown",
    "Broker",
    "BrokerFigures",
    "CoinbaseBroker",
    "DetailedBalance",
    "KrakenBroker",
    "KrakenBrokerAdapter",
    "RecoveryFigures",
]
