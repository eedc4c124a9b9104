"""One order on Coinbase, from its first byte to its end.

1. It is sent under one client order id, ours for ever. Coinbase carries an id out once, so sending it again is safe.
2. No usable answer: it is looked for by its id first. Not there: it is sent again, the same under the same id, but not
   later than its deadline.
3. What was said to a repeat is an end where it was placed. A refused repeat is none: the first may be on its way still.
4. Not placed, for certain, is an order that was not there at a look made when no copy of it could be taken any more: a
   request is signed for ``TOKEN_LIFE_S``, and ``SHOWN_WITHIN_S`` more are left for clocks and for the list to catch up.
5. Neither within ``timeout_s``: CoinbaseInDoubt.
6. An id that was given may be that of an earlier call whose end nobody knows. So a plain no is an end for it only where
   a look shows no order, and where no earlier copy that is known of can be taken any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from sealane.broker.coinbase_errors import CoinbaseInDoubt, CoinbaseRefused, Lost, NotSent
from sealane.broker.coinbase_orders import OrderForm, end_of, found_end
from sealane.core.nonce import NS_PER_S
from sealane.core.order import ANSWERED, REPLAYED, VALIDATED, NotPlaced, Placed
from sealane.errors import Refused, Unavailable
from sealane.runtime.clock import Clock

TOKEN_LIFE_S = 120
SHOWN_WITHIN_S = 60
GONE_AFTER_S = TOKEN_LIFE_S + SHOWN_WITHIN_S
LOOK_BACK_S = 300
"""How far before our own clock's time the list is searched for an order of a new id."""
ROWS_BETWEEN_LIMITS = 1_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0

logger = logging.getLogger("sealane.broker")


class OrderWire(Protocol):
    """What placing needs of ``CoinbaseWire``."""

    def create_order(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send one order once."""

    def preview_order(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have an order looked at."""

    def orders(self, since: str | None) -> Iterator[Mapping[str, Any]]:
        """Orders since then."""


class Placing:
    """One order's way; ``pause(seconds)`` waits, and is True where it was cut short because the broker closed.

    ``earlier_ns`` is until when an earlier call under this id was in doubt, in time since boot, None where none was.
    """

    def __init__(
        self,
        form: OrderForm,
        wire: OrderWire,
        clock: Clock,
        pause: Callable[[float], bool],
        earlier_ns: int | None = None,
    ) -> None:
        self._form, self._wire, self._clock, self._pause, self._earlier_ns = form, wire, clock, pause, earlier_ns
        self._begun_ns = self._sent_ns = clock.boot_ns()
        self._since = _rfc3339(clock.wall_ns() - LOOK_BACK_S * NS_PER_S) if form.fresh else None

    def place(self) -> Placed | NotPlaced:
        """Place it, once or not at all; raises CoinbaseInDoubt."""
        name = self._form.client_order_id
        logger.info("Coinbase order %s goes out", name)
        try:
            end = self._sent(ANSWERED)
            if isinstance(end, str):
                return self._out_of_doubt(end)
            return self._end_of_given(end) if isinstance(end, NotPlaced) and not self._form.fresh else end
        except (KeyboardInterrupt, SystemExit):
            logger.error("Coinbase order %s was interrupted and may have been placed: look for it by its id", name)
            raise

    def hold_back(self, reason: str) -> Placed | NotPlaced:
        """Do not send it. Not placed then, unless a look shows an order of the id; raises CoinbaseInDoubt."""
        refused = NotPlaced(reason, None, self._form.client_order_id)
        return refused if self._form.fresh else self._end_of_given(refused)

    def preview(self) -> NotPlaced:
        """Have it looked at; ``kraken_error`` is what Coinbase has against it. Raises Unavailable."""
        name = self._form.client_order_id
        try:
            answer = self._wire.preview_order(self._form.checked_fields())
        except CoinbaseRefused as error:
            return NotPlaced(str(error), error.errors[0], name)
        faults = answer.get("errs")
        if not isinstance(faults, list):
            raise Lost("Coinbase's answer to preview order does not say whether anything is wrong")
        said = ", ".join(map(str, faults))
        return NotPlaced(f"Coinbase would refuse it: {said}", said, name) if said else NotPlaced(VALIDATED, None, name)

    def _sent(self, how: str) -> Placed | NotPlaced | str:
        """Send it once; a text where that is no end, and why."""
        try:
            answer = self._wire.create_order(self._form.fields())
        except CoinbaseRefused as error:
            return NotPlaced(str(error), error.errors[0], self._form.client_order_id)
        except NotSent as error:
            return NotPlaced(str(error), None, self._form.client_order_id)
        except Lost as error:
            return str(error)
        finally:
            self._sent_ns = self._clock.boot_ns()
        return end_of(answer, self._form, how)

    def _out_of_doubt(self, detail: str) -> Placed | NotPlaced:
        pause_s = FIRST_PAUSE_S
        while True:
            logger.warning("Coinbase order %s is in doubt: %s", self._form.client_order_id, detail)
            end = self._looked()
            if isinstance(end, (Placed, NotPlaced)):
                return end
            again = self._sent_again() if end is None else None
            if isinstance(again, Placed):
                return again
            detail = end or (again.reason if again else None) or detail
            left_s = self._form.timeout_s - self._passed_s(self._begun_ns)
            if left_s <= 0 or self._pause(min(pause_s, left_s)):
                raise CoinbaseInDoubt(detail, self._form.client_order_id)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _end_of_given(self, refused: NotPlaced) -> Placed | NotPlaced:
        seen = self._looked()
        if isinstance(seen, (Placed, NotPlaced)):
            return seen
        if seen is None and (self._earlier_ns is None or self._passed_s(self._earlier_ns) > GONE_AFTER_S):
            return refused
        why = seen or "a copy of it can still be taken"
        detail = f"{refused.reason}; but whether an earlier order under its id was placed is not known: {why}"
        raise CoinbaseInDoubt(detail, self._form.client_order_id)

    def _looked(self) -> Placed | NotPlaced | str | None:
        """The end that the list of orders shows, None where it is not there yet, a text where it could not be seen."""
        passed_s = self._passed_s(self._sent_ns)
        try:
            found = find(self._in_time(), self._form.client_order_id, self._form)
        except (Refused, Unavailable) as error:
            return str(error)
        if found is None and passed_s > GONE_AFTER_S:
            return NotPlaced("it had not reached Coinbase when its signature ended", None, self._form.client_order_id)
        return found

    def _in_time(self) -> Iterator[Mapping[str, Any]]:
        """The list of orders, as far as the limit allows; at least its first page."""
        for number, row in enumerate(self._wire.orders(self._since), start=1):
            yield row
            if number % ROWS_BETWEEN_LIMITS == 0 and self._passed_s(self._begun_ns) > self._form.timeout_s:
                raise Unavailable(
                    f"{number} orders were looked through within {self._form.timeout_s:g} s, and more are left"
                )

    def _sent_again(self) -> Placed | NotPlaced | None:
        """After a look that did not show it, and before its deadline: the same again."""
        if self._passed_s(self._begun_ns) > self._form.deadline_s:
            return None
        end = self._sent(REPLAYED)
        return NotPlaced(end) if isinstance(end, str) else end

    def _passed_s(self, since_ns: int) -> float:
        return (self._clock.boot_ns() - since_ns) / NS_PER_S


def find(
    rows: Iterable[Mapping[str, Any]], client_order_id: str, form: OrderForm | None = None
) -> Placed | NotPlaced | None:
    """The end of the order of that id, None where the rows have none."""
    row = next((row for row in rows if row.get("client_order_id") == client_order_id), None)
    return None if row is None else found_end(row, client_order_id, form)


def _rfc3339(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
