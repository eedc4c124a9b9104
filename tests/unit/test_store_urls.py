"""URLs of engines: what is wrong is told, and never with a piece of a password."""

import sys

import pytest

from sealane import SettingsError
from sealane.store import open_store


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:12?geheim@host/0",
        "redis://host/0?lease_ms=geheim",
        "redis://user:geheim@host:port/0",
        "redis://host/0?replicas=geheim",
    ],
)
def test_no_piece_of_a_password_is_told(url):
    with pytest.raises(SettingsError) as told:
        open_store(url)
    assert "geheim" not in str(told.value)


def test_an_option_that_is_none_is_named():
    with pytest.raises(SettingsError, match=r"unknown option leese_ms: there are .*lease_ms"):
        open_store("redis://host/0?leese_ms=1")


@pytest.mark.parametrize(("url", "driver"), [("postgresql://host/db", "psycopg"), ("redis://host/0", "redis")])
def test_a_driver_that_is_missing_is_told_with_its_remedy(url, driver, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == driver or name.startswith("sealane.store.")]:
        if name.startswith(("sealane.store.postgres.", "sealane.store.redis.")) or not name.startswith("sealane"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(SettingsError, match=r"pip install .*sealane\["):
        open_store(url)
