"""Orders under every fault at every point, and processes killed before, during and after: each has one end, the book's.

A small run of ``make orders``. The seed is printed; ``SEALANE_SEED`` repeats its orders and the chances of its faults,
``SEALANE_SOAK=1`` makes it ten times longer.
"""

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # bench is no part of the installed package

from bench.orders import Setting, tried

pytestmark = pytest.mark.kill

ORDERS = 300 * (10 if os.environ.get("SEALANE_SOAK") == "1" else 1)
ACCOUNTS = 8
KILL_EVERY_S = 0.4


def setting(orders: int) -> Setting:
    seed = int(os.environ.get("SEALANE_SEED") or random.SystemRandom().getrandbits(32))
    print(f"SEALANE_SEED={seed}")
    return Setting(orders, seed, accounts=ACCOUNTS, kill_every_s=KILL_EVERY_S)


def test_no_order_is_doubled_lost_or_left_in_doubt(tmp_path: Path) -> None:
    trial = tried("sealane", setting(ORDERS), tmp_path)
    found = trial.judgement
    assert found.clean, found.wrong
    assert found.asked == found.placed_once + found.not_placed == ORDERS
    assert trial.audit == []
    assert sum(trial.faults.values()) > ORDERS / 5, "too few faults to say anything"
    assert trial.kills >= 3, "too few kills to say anything"
    assert trial.under_way_at_kills > 0


def test_the_usual_retry_loop_doubles_orders_under_the_same_faults(tmp_path: Path) -> None:
    """So that it is the faults, and not their absence, that Sealane comes through."""
    trial = tried("krakenex", setting(100), tmp_path)
    assert trial.judgement.doubled + trial.judgement.lost > 0
