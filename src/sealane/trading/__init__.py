"""The five gates, strategies, and an executor with hard limits.

``gates`` judges, ``rounds`` walks an account through the gates, ``runner`` does so on a clock for every account. A
``Strategy`` sees a ``MarketView`` and an ``AccountView`` (``views``) and answers with ``Signal`` (``strategy``);
``executor`` places what ``limits`` let through, out of the ``capital`` that is free. ``market`` looks, ``preflight``
makes the order that is checked only, ``example`` is one strategy.
"""

from sealane.trading.executor import End, Execution, Executor
from sealane.trading.gates import GateResult, walk
from sealane.trading.limits import HardLimits
from sealane.trading.market import Scan, scan
from sealane.trading.preflight import probe
from sealane.trading.rounds import AccountRound, Rules, account_round
from sealane.trading.runner import Plan, Runner, Summary
from sealane.trading.seats import Seat, kraken_seats
from sealane.trading.strategy import Signal, Strategy, load_strategy
from sealane.trading.views import AccountView, MarketView, PairRules, Quote

__all__ = [
    "AccountRound",
    "AccountView",
    "End",
    "Execution",
    "Executor",
    "GateResult",
    "HardLimits",
    "MarketView",
    "PairRules",
    "Plan",
    "Quote",
    "Rules",
    "Runner",
    "Scan",
    "Seat",
    "Signal",
    "Strategy",
    "Summary",
    "account_round",
    "kraken_seats",
    "load_strategy",
    "probe",
    "scan",
    "walk",
]
