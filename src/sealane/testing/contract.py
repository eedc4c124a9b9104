"""The store port as tests. Derive from ``StoreContract``, say how to open the store, and every promise is checked::

    class TestMyStore(StoreContract):
        def make_store(self, place: Path) -> Store:
            return MyStore(place)

What a store cannot do is said by a flag, and shows in the report as a skipped test with its reason.
"""

from __future__ import annotations

from sealane.testing.contract_contents import ContentsContract
from sealane.testing.contract_draws import DrawContract
from sealane.testing.contract_intents import IntentContract
from sealane.testing.contract_owners import OwnerContract
from sealane.testing.contract_processes import ProcessContract
from sealane.testing.contract_rates import RateContract
from sealane.testing.contract_states import StateContract
from sealane.testing.contract_turns import TurnContract


class StoreContract(
    DrawContract,
    TurnContract,
    StateContract,
    RateContract,
    ProcessContract,
    IntentContract,
    OwnerContract,
    ContentsContract,
):
    """Every promise of ``sealane.store.port``."""
