"""Brokers: an account's balance, orders and positions behind one surface that fails closed."""

from sealane.broker.port import AccountType, BalanceUnknown, Broker, DetailedBalance

__all__ = ["AccountType", "BalanceUnknown", "Broker", "DetailedBalance"]
