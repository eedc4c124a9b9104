"""The document that both faces are drawn from: what is in it, what never is, and that what is not known is None."""

import itertools
import json
from dataclasses import replace
from decimal import Decimal

import pytest

from dashboard_documents import (
    ACCOUNT,
    KEY,
    NOW_S,
    Key,
    in_trouble,
    of_many,
    sighting,
    state,
    tally,
    traffic,
    unseen,
    well,
)
from sealane.errors import Unavailable
from sealane.gateway.dashboard import words
from sealane.gateway.settings import ServeSettings
from sealane.gateway.statistics import failed, refused, statistics
from sealane.gateway.statistics_form import STORE
from sealane.gateway.tallies import JUMPS, REFUSALS
from sealane.gateway.unasked import StoreReader


def of(account=ACCOUNT, key=KEY, **options):
    seen = sighting(("MASTER",), keys={"MASTER": key}, accounts={"MASTER": account})
    made = statistics(state(seen), traffic().seen(), **{"show_amounts": True, **options})
    return made["accounts"][0]


def test_it_is_plain_json_whatever_was_seen():
    for document in (well(), in_trouble(), unseen(), of_many(5, 5)):
        assert json.loads(json.dumps(document)) == document


def test_a_balance_has_its_amounts_exactly_and_its_age():
    balance = of()["balance"]
    assert (balance["total"], balance["age_s"], balance["stale"]) == ("85304.1937", 8.0, False)
    assert [one["asset"] for one in balance["amounts"]] == ["USDT", "XXBT", "ZUSD"], "zero says nothing"
    assert balance["amounts"][1] == {"asset": "XXBT", "symbol": "BTC", "amount": "1.20450000"}
    tiny = of(replace(ACCOUNT, amounts={"XXBT": Decimal("1E-8")}))["balance"]["amounts"]
    assert tiny[0]["amount"] == "0.00000001"


@pytest.mark.parametrize("changes", [{"error": "reset", "error_count": 1}, {"as_of": NOW_S - 101}])
def test_a_balance_that_is_old_or_failed_since_is_stale(changes):
    assert of(replace(ACCOUNT, **changes))["balance"]["stale"] is True
    assert of(replace(ACCOUNT, as_of=NOW_S - 99))["balance"]["stale"] is False


def test_a_balance_that_is_not_known_is_none_and_not_zero():
    row = of(replace(ACCOUNT, as_of=None, total=None, amounts=None))
    assert (row["balance"]["total"], row["balance"]["amounts"], row["balance"]["age_s"]) == (None, None, None)
    assert row["balance"]["stale"] is False
    assert unseen()["accounts"][0]["balance"] is None
    assert unseen()["doubts"] == {"count": 0, "oldest_age_s": None, "known": False}


def test_amounts_are_left_out_where_they_are_not_to_be_shown():
    document = well(show_amounts=False)
    assert document["amounts_shown"] is False
    assert "81204" not in json.dumps(document)
    assert "85304" not in json.dumps(document)
    assert document["accounts"][0]["balance"]["age_s"] == 8.0
    assert "81204" in json.dumps(well())


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({}, True),
        ({"SEALANE_HOST": "::1"}, True),
        ({"SEALANE_HOST": "0.0.0.0", "SEALANE_ALLOW_NETWORK": "1"}, False),
        ({"SEALANE_ALLOWED_HOSTS": "lane.example"}, False),
        ({"SEALANE_SHOW_AMOUNTS": "0"}, False),
        ({"SEALANE_HOST": "0.0.0.0", "SEALANE_ALLOW_NETWORK": "1", "SEALANE_SHOW_AMOUNTS": "1"}, True),
    ],
)
def test_amounts_are_shown_on_loopback_alone_unless_it_is_said(environ, shown):
    assert ServeSettings.from_env(environ).show_amounts is shown


def test_a_wrong_switch_names_its_variable():
    with pytest.raises(Exception, match="SEALANE_SHOW_AMOUNTS is 'perhaps'"):
        ServeSettings.from_env({"SEALANE_SHOW_AMOUNTS": "perhaps"})


def test_what_a_key_may_do_has_its_age_and_is_none_before_kraken_told():
    assert of()["permissions"]["age_s"] == 240.0
    assert "modify-trades" in of()["permissions"]["names"]
    assert of(replace(ACCOUNT, permissions=None, permissions_ns=None))["permissions"] is None


def test_a_lane_tells_its_refusals_and_why():
    counted = tally(
        refusals={REFUSALS: {("MASTER",): 2.0, ("anna",): 1.0}, JUMPS: {("anna",): 1.0}},
        refused_s={"MASTER": NOW_S - 50, "anna": NOW_S - 5},
        answers={"MASTER": "again", "anna": "jump"},
    )
    (lane,) = statistics(state(sighting(("MASTER", "anna")), counted), traffic().seen(), show_amounts=True)["lanes"]
    assert (lane["refusals"], lane["jumps"], lane["last_refusal"]["account"]) == (3, 1, "anna")
    assert (lane["last_refusal"]["age_s"], "jumped above" in lane["last_refusal"]["cause"]) == (5.0, True)
    assert lane["ahead_of_clock_s"] == -0.4
    assert lane["in_flight"] is False


def test_virtual_keys_have_their_state_and_their_counts_and_nothing_else():
    keys = {one["name"]: one for one in in_trouble()["virtual_keys"]}
    assert [one["state"] for one in keys.values()] == ["active", "paused", "expired", "revoked"]
    assert (keys["grid-bot"]["waiting"], keys["grid-bot"]["expires_in_s"]) == (2, 3_000.0)
    assert keys["grid-bot"]["allow"] == ["cancel", "fund", "read", "trade"]
    assert (refused(keys["scalper"]), failed(keys["scalper"])) == (8, 1)
    assert keys["scalper"]["calls"] == sum(keys["scalper"]["outcomes"].values()) == 9
    assert keys["old-one"]["last_call_age_s"] is None
    assert {"key", "secret", "credentials"} & set(keys["scalper"]) == set()


def test_a_key_object_is_never_shown_whole():
    class Talkative(Key):
        def __repr__(self):
            return "SECRET"

    document = statistics(state(sighting(("MASTER",))), traffic().seen(), [Talkative("a", "MASTER")], show_amounts=True)
    assert "SECRET" not in json.dumps(document)


def test_the_hour_is_told_by_minutes_that_follow_each_other():
    minutes = well()["minutes"]
    assert len(minutes) == 60
    assert {round(later["at"] - one["at"]) for one, later in itertools.pairwise(minutes)} == {60}
    assert NOW_S - 60 < minutes[-1]["at"] <= NOW_S
    assert sum(one["calls"] for one in minutes) == sum(one["calls"] for one in well()["virtual_keys"]) - 12


def test_before_anything_was_seen_nothing_is_made_up():
    document = unseen()
    (account,) = document["accounts"]
    assert (document["status"], document["looked_age_s"], document["store"]) == ("fail", None, None)
    assert (account["available"], account["orders_in_doubt"], account["error_count"]) == (None, None, None)


def test_a_key_whose_state_cannot_be_read_has_no_figures():
    row = of(key=replace(KEY, error="gone", doubts=3))
    assert (row["orders_in_doubt"], row["counters"]) == (None, [])
    assert "cannot be read: gone" in row["reasons"][0]


# --- the store alone --------------------------------------------------------------------------------------------------


def environment(tmp_path):
    pair = {"KRAKEN_API_KEY": "a-key-of-nobody", "KRAKEN_API_SECRET": "c2VjcmV0"}
    return pair | {"DATA_DIR": str(tmp_path / "data"), "KRAKEN_SPOT_URL": "http://127.0.0.1:9"}


def test_the_store_alone_tells_lanes_and_keys_and_asks_nobody(tmp_path):
    from sealane.client.settings import Settings
    from sealane.runtime.lanes import close_lane, open_lane

    environ = environment(tmp_path)
    settings = Settings.from_env(environ)
    lane = open_lane(settings.open(), settings.lane_name(""), 1)
    nonce = lane.draw()
    close_lane(settings.open(), lane)
    reader = StoreReader(environ)
    try:
        document = reader.read()
    finally:
        reader.close()
    assert (document["source"], document["status"]) == (STORE, "pass")
    assert document["lanes"][0]["last_nonce"] == nonce
    assert (document["accounts"][0]["balance"], document["accounts"][0]["available"]) == (None, None)
    assert document["accounts"][0]["orders_in_doubt"] == 0


def test_reading_a_store_makes_none(tmp_path):
    with pytest.raises(Unavailable, match="holds no lane"):
        StoreReader(environment(tmp_path))
    assert not list((tmp_path / "data").glob("*.txt"))
    with pytest.raises(Unavailable, match="no key of Kraken"):
        StoreReader({"DATA_DIR": str(tmp_path / "data")})


# --- words ------------------------------------------------------------------------------------------------------------


def test_amounts_are_rounded_down_to_cents():
    assert (words.dollars("85304.1999"), words.dollars("0.009"), words.dollars("-1.001")) == (
        "$85,304.19",
        "$0.00",
        "$-1.01",
    )


def test_waits_and_ages_in_words():
    assert [words.waited(one) for one in (None, 0.0, 0.0124, 0.9994, 4.0)] == ["–", "0 ms", "12 ms", "999 ms", "4.0 s"]
    assert [words.ago(one) for one in (None, 0.2, 5.0)] == ["never", "now", "5 s ago"]
