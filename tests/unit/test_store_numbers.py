"""What counts as a nonce in a file or a variable."""

import pytest

from sealane.core.nonce import MAX_NONCE, next_nonce, parse_nonce
from sealane.errors import NotDurable


@pytest.mark.parametrize(
    ("content", "nonce"),
    [
        (b"1", 1),
        (b"1800000000000000000", 1_800_000_000_000_000_000),
        (b"1800000000000000000\n", 1_800_000_000_000_000_000),
        (b" \t\r\n\v\f1800000000000\r\n", 1_800_000_000_000),
        (b"0000000000000000000000000017", 17),
        (b"%d" % MAX_NONCE, MAX_NONCE),
    ],
)
def test_a_plain_decimal_integer(content: bytes, nonce: int) -> None:
    assert parse_nonce(content) == nonce


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        b"0",
        b"000",
        b"-1",
        b"+1",
        b"1_000",
        b"1 000",
        b"1,000",
        b"1.0",
        b"1e18",
        b"0x10",
        b"0b1",
        b"1800000000\x00",
        b"\x00" * 19,
        b"1800000000\n1800000001",
        "\u0661\u0662\u0663".encode(),  # digits elsewhere
        "\u00b2".encode(),
        "\u00a017".encode(),
        b"\xef\xbb\xbf17",  # a byte order mark
        b"\xff\xfe1\x007\x00",
        b"%d" % (MAX_NONCE + 1),
        b"9" * 64,
        b"9" * 5000,
        b"None",
        b"nan",
        b'{"nonce": 17}',
    ],
)
def test_anything_else_is_none(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_nonce(content)


def test_the_next_one() -> None:
    assert next_nonce(5, 3) == 6
    assert next_nonce(5, 5) == 6
    assert next_nonce(5, 9) == 9
    assert next_nonce(MAX_NONCE - 1, 0) == MAX_NONCE
    with pytest.raises(NotDurable, match="used up"):
        next_nonce(MAX_NONCE, 0)
    with pytest.raises(NotDurable, match="used up"):
        next_nonce(5, MAX_NONCE + 1)
