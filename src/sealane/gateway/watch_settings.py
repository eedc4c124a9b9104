"""How often the watcher looks, and how old what it saw may be."""

from __future__ import annotations

LOOK_S = 2.0
"""Every so often: lanes, keys, orders in doubt, the brokers' own state. All local, but for a lane's engine."""
ENGINE_ASKED_S = 1.0
"""So long the engine of a leased lane is asked who has it: a look has to come to its end."""
ENGINE_MISSES_MAX = 3
"""So often in a row it may not answer before that is a failure; a lease outlasts one."""
STORE_TRIAL_S = 5.0
"""Every so often something is really written into the store."""
WATCH_S = 30.0
"""Every so often each account's balance is asked for (``SEALANE_WATCH_S``): one call a key."""
WATCH_MIN_S, WATCH_MAX_S = 1.0, 3_600.0
LATE_ROUNDS, LATE_SLACK_S = 3.0, 10.0
"""What was seen is too old after so many rounds, and so many seconds more."""
HUNG_S = 300.0
"""A thread of the watcher that is at one round for so long hangs for good."""
DOUBT_GRACE_S = 5.0
"""An order whose answer is younger than this is under way, not in doubt."""
PERMISSIONS_S = 900.0
"""Every so often Kraken is asked what a key may do: one call more, and a person changes that seldom."""
ASKERS_MAX = 8
"""Accounts that are asked at the same time."""
LANE_AWAITED = ("this host's lease of lane", "was busy for", "is still being handed over")
"""What an account's error says where its call did not have its turn of the lane; nothing was sent then."""
AWAITED_S = 10.0
"""A turn that others have for longer than this is told of; shorter waits are what a lane is for."""
AWAITED_ROUND_S = 130.0
"""How far apart a broker's tries may be that waits for its turn: the wait, and the longest pause after it."""
