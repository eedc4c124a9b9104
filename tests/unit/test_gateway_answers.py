"""What the gateway says by itself: in Kraken's envelope, and in headers that hold nothing but what may stand there."""

from __future__ import annotations

import json

import pytest

from sealane.core.cancelling import NotCancelled
from sealane.errors import Unavailable
from sealane.gateway.api.cancels import _of_end
from sealane.gateway.api.envelope import of_error, refusal, throttled
from sealane.gateway.api.strangers import LINES_MAX, Strangers

ODD = "HTTP 502: <html>\r\nX-Evil: 1\x00\x1b[2J é 💰" + "x" * 1_000


@pytest.mark.parametrize(
    "answer",
    [
        refusal("EService:Busy", detail=ODD),
        throttled(1.0, ODD),
        of_error(Unavailable(ODD)),
        _of_end(NotCancelled(ODD, None)),
    ],
)
def test_why_is_one_line_of_plain_letters(answer):
    why = answer.headers["x-sealane-why"]
    assert why.isascii()
    assert why.isprintable()
    assert 0 < len(why) <= 200


def test_throttled_tells_the_next_whole_second():
    assert json.loads(throttled(1_800_000_000.999).body) == {"error": ["EService: Throttled: 1800000001"]}


def test_strangers_get_some_lines_and_then_one_a_second():
    strangers, now_ns = Strangers(), 10**15
    first = [strangers.unwritten(now_ns) for _ in range(100)]
    assert first == [0] * int(LINES_MAX) + [None] * (100 - int(LINES_MAX))
    assert strangers.unwritten(now_ns + 999_999_999) is None
    assert strangers.unwritten(now_ns + 1_000_000_000) == 101 - int(LINES_MAX)
    assert strangers.unwritten(now_ns + 1_000_000_001) is None
    assert strangers.unwritten(now_ns - 10**12) is None, "a clock that steps back gives nothing"
