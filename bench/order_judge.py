"""What became of every order: what its caller was told beside the exchange's own book.

Each order counts once, under the first of these that holds:

1. *doubled*: the book has it more than once.
2. *lost*: the book has it and its caller does not know (it was told that it is not placed, or an exception, or it died
   and nobody took its order up); or its caller was told that it is placed, and the book has not this one.
3. *left in doubt*: the book does not have it, and its caller knows no end.
4. *placed once*, or *not placed*: what was told is what stands in the book.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.order_callers import IN_DOUBT, NOT_PLACED, PLACED, Told
from bench.order_plan import Planned

NEVER_SENT = "its caller died before it was written down"
DEADLINE_SLACK_S = 0.5
"""The deadline is counted from before the client was called, and it reads the clock a little later."""
SHOWN = 20
SAID = re.compile(r"(?<!from the store):|\d")
"""Where a reason begins to differ from order to order."""


@dataclass(frozen=True)
class Row:
    """One order as the book has it; ``opened_s`` in Unix seconds."""

    txid: str
    opened_s: float


@dataclass(frozen=True)
class Asked:
    """One order that was asked for; ``asked_s`` (Unix seconds) is when, ``told`` None where its caller died."""

    order: Planned
    asked_s: float
    told: Told | None


@dataclass
class Judgement:
    """The figures; ``wrong`` says of some orders that did not end as they should what happened."""

    asked: int = 0
    placed_once: int = 0
    not_placed: int = 0
    doubled: int = 0
    lost: int = 0
    in_doubt: int = 0
    after_deadline: int = 0
    unasked: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every order has the one end that its caller knows."""
        return not (self.doubled or self.lost or self.in_doubt or self.after_deadline or self.unasked)


def judge(asked: Sequence[Asked], book: Mapping[str, Sequence[Row]], *, by: str, deadlines: bool) -> Judgement:
    """Judge a run. ``book`` has its orders by the id that the field ``by`` of a planned order names.

    ``deadlines``: the orders had one, so nothing may be opened after it.
    """
    found = Judgement(asked=len(asked))
    names = {str(getattr(one.order, by)) for one in asked}
    for name in book.keys() - names:
        found.unasked += len(book[name])
        _note(found, f"{name}: in the book, and nobody asked for it")
    for one in asked:
        rows = book.get(str(getattr(one.order, by)), ())
        column = _column(one, rows)
        setattr(found, column, getattr(found, column) + 1)
        if column in ("doubled", "lost", "in_doubt"):
            _note(found, f"order {one.order.number} {getattr(one.order, by)}: {column}: told {one.told}, book {rows}")
        until_s = one.asked_s + one.order.deadline_s + DEADLINE_SLACK_S
        late = [row for row in rows if deadlines and row.opened_s > until_s]
        found.after_deadline += len(late)
        if late:
            _note(found, f"order {one.order.number}: opened after its deadline {until_s:.3f}: {late}")
    return found


def _column(one: Asked, rows: Sequence[Row]) -> str:
    told = one.told or Told(NOT_PLACED if not rows else IN_DOUBT, why=NEVER_SENT)
    if len(rows) > 1:
        return "doubled"
    if told.end == PLACED:
        return "placed_once" if [row.txid for row in rows] == [told.txid] else "lost"
    if rows:
        return "lost"
    return "in_doubt" if told.end == IN_DOUBT else "not_placed"


def _note(found: Judgement, text: str) -> None:
    if len(found.wrong) < SHOWN:
        found.wrong.append(text)


def whys(asked: Sequence[Asked]) -> Counter[str]:
    """How the ends became known, and why orders were not placed; all that differs from order to order left out."""
    told = (one.told or Told(NOT_PLACED, why=NEVER_SENT) for one in asked)
    return Counter(f"{one.end}: {SAID.split(one.why, maxsplit=1)[0]}" for one in told)
