"""The environment: every wrong variable at one look, contradictions, misspelt names."""

import re
from pathlib import Path

import pytest

from sealane.doctor.clock import ClockFacts, judge_clock, unix_time
from sealane.doctor.finding import Level, verdict, worst_first
from sealane.doctor.finding import fault as a_fault
from sealane.doctor.finding import ok as a_good_one
from sealane.doctor.finding import skipped as a_skipped_one
from sealane.doctor.finding import warning as a_warning
from sealane.doctor.names import VARIABLES, judge_names, meant
from sealane.doctor.settings_check import judge_settings, read_settings
from sealane.errors import Unavailable

ROOT = Path(__file__).parents[2]
SECRET = "a" * 86 + "=="
PAIR = {"KRAKEN_API_KEY": "k" * 56, "KRAKEN_API_SECRET": SECRET}
BAD = (Level.WARNING, Level.FAULT)


def judged(environ, account=None):
    return list(judge_settings(read_settings(environ, account)))


def bad(environ, check=None):
    found = [finding for finding in judged(environ) if finding.level in BAD]
    return found if check is None else [finding for finding in found if finding.check == check]


def one(environ, check):
    (found,) = bad(environ, check)
    return found


def test_a_good_environment_is_sound():
    assert bad(PAIR) == []
    told = {finding.subject: finding for finding in judged(PAIR)}
    assert told["MASTER"].message == "key …kkkk, with its secret"


def test_every_wrong_variable_is_found_at_one_look():
    environ = PAIR | {
        "SEALANE_LANES": "globall",
        "SEALANE_TIER": "gold",
        "SEALANE_NONCE_UNIT": "s",
        "SEALANE_HISTORY_COST": "x",
        "SEALANE_MIN_INTERVAL_MS": "-1",
        "SEALANE_VISIBILITY_LAG_S": "soon",
        "SEALANE_SYNC_INTENTS": "maybe",
        "HARD_BUY_OFF": "yes",
        "KRAKEN_SPOT_URL": "http://example.com",
        "SEALANE_STORE": "mongodb://x",
    }
    found = bad(environ, "setting")
    assert {finding.subject for finding in found} == set(environ) - set(PAIR)
    assert all(finding.level is Level.FAULT and finding.remedy for finding in found)


def test_what_only_the_service_the_executor_and_the_log_read_is_found_too():
    """Each as the program that reads it would refuse it, and all at one look."""
    environ = PAIR | {
        "PORT": "99999",
        "SEALANE_WATCH_S": "0",
        "SEALANE_ALLOW_NETWORK": "yes",
        "SEALANE_HOST": "0.0.0.0",
        "SEALANE_MAX_ORDER_USD": "much",
        "SEALANE_MIN_CAPITAL_USD": "-1",
        "SEALANE_ALLOWED_PAIRS": "XBT!USD",
        "SEALANE_LOG": "xml",
        "SEALANE_LOG_LEVEL": "loud",
    }
    found = bad(environ, "setting")
    assert {finding.subject for finding in found} == set(environ) - set(PAIR)
    assert len(found) == len(environ) - len(PAIR)
    levels = {finding.subject: finding.level for finding in found}
    assert levels.pop("SEALANE_HOST") is Level.WARNING, "--allow-network may be given"
    assert set(levels.values()) == {Level.FAULT}
    assert bad(PAIR | {"SEALANE_HOST": "0.0.0.0", "SEALANE_ALLOW_NETWORK": "1", "PORT": "0"}) == []


def test_two_settings_that_need_each_other():
    assert one({"SEALANE_NONCE_UNIT": "us"}, "setting").subject == "SEALANE_NONCE_UNIT"
    assert bad({"SEALANE_NONCE_UNIT": "us", "SEALANE_LANES": "per-key"}, "setting") == []


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"KRAKEN_API_KEY": "k" * 56}, "KRAKEN_API_SECRET is not set"),
        ({"KRAKEN_USER_a_b_API_SECRET": SECRET}, "KRAKEN_USER_a_b_API_KEY is not set"),
        (PAIR | {"KRAKEN_API_SECRET": "not base64!"}, "not valid base64"),
        (PAIR | {"KRAKEN_USER_MASTER_API_KEY": "x" * 56}, "KRAKEN_USER_MASTER"),
    ],
)
def test_key_pairs(environ, word):
    found = one(environ, "account")
    assert found.level is Level.FAULT
    assert word in found.message
    assert SECRET not in found.message


def test_one_key_under_two_names():
    environ = PAIR | {"KRAKEN_USER_eve_API_KEY": PAIR["KRAKEN_API_KEY"], "KRAKEN_USER_eve_API_SECRET": SECRET}
    found = bad(environ, "account")
    assert {finding.subject for finding in found} == {"MASTER", "eve"}
    assert all("the same key" in finding.message for finding in found)


def test_a_wrong_pair_leaves_the_others_usable():
    facts = read_settings(PAIR | {"KRAKEN_USER_eve_API_KEY": "e" * 56})
    assert [who.account for who in facts.accounts] == ["MASTER"]
    assert facts.is_whole


def test_one_account_alone_is_looked_at():
    environ = PAIR | {"KRAKEN_USER_eve_API_KEY": "e" * 56}
    assert [f for f in judged(environ, "MASTER") if f.level in BAD] == []
    (found,) = [f for f in judged(environ, "nobody") if f.check == "account"]
    assert found.level is Level.FAULT


def test_no_key_at_all_is_a_warning():
    assert one({}, "account").level is Level.WARNING


@pytest.mark.parametrize(
    ("environ", "level", "word"),
    [
        ({"SEALANE_STORE": "memory:"}, None, ""),
        (PAIR | {"SEALANE_STORE": "memory:"}, Level.FAULT, "restart"),
        (PAIR | {"SEALANE_STORE": "memory:", "KRAKEN_SPOT_URL": "http://127.0.0.1:1"}, Level.WARNING, "restart"),
        ({"SEALANE_STORE": "file:/a", "DATA_DIR": "/b"}, Level.WARNING, "DATA_DIR names /b"),
        ({"SEALANE_STORE": "file:/a/../b", "DATA_DIR": "/b"}, None, ""),
        ({"SEALANE_STORE": "file:///b", "DATA_DIR": "/b"}, None, ""),
    ],
)
def test_stores(environ, level, word):
    found = bad(environ, "store")
    assert [finding.level for finding in found] == ([level] if level else [])
    assert not found or word in found[0].message


@pytest.mark.parametrize(
    ("environ", "check"),
    [
        ({"SEALANE_TIER": "off"}, "tier"),
        ({"KRAKEN_SPOT_URL": "https://gateway.example.com"}, "url"),
        ({"KRAKEN_LAST_NONCE": "yesterday"}, "last-nonce"),
        ({"KRAKEN_LAST_NONCE": "0"}, "last-nonce"),
        ({"COINBASE_API_KEY": "x"}, "coinbase"),
        ({"COINBASE_PEM_CONTENT": "x"}, "coinbase"),
    ],
)
def test_settings_that_bite(environ, check):
    assert one(environ, check).level is Level.WARNING


@pytest.mark.parametrize("word", ["1", "true", "on"])
def test_buys_that_are_blocked_are_told(word):
    assert [finding.message for finding in judged({"HARD_BUY_OFF": word}) if finding.check == "hard-buy-off"] == [
        "buys are blocked"
    ]


@pytest.mark.parametrize(
    "environ",
    [
        {"SEALANE_TIER": "off", "KRAKEN_SPOT_URL": "http://127.0.0.1:1"},
        {"KRAKEN_LAST_NONCE": "1737159471234567890"},
        {"HARD_BUY_OFF": "1"},
        {"HARD_BUY_OFF": "0"},
        {"COINBASE_API_KEY": "x", "COINBASE_PEM_CONTENT": "y"},
        {"SEALANE_LANES": "per-key"},
    ],
)
def test_settings_that_are_right(environ):
    assert bad(PAIR | environ) == []


def test_per_key_lanes_say_that_the_documents_lock_is_refused():
    (found,) = [finding for finding in judged({"SEALANE_LANES": "per-key"}) if finding.check == "lanes"]
    assert "get_kraken_api_lock()" in found.message


# --- names ---


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("KRAKEN_APIKEY", "KRAKEN_API_KEY"),
        ("KRAKEN_API_SECERT", "KRAKEN_API_SECRET"),
        ("SEALANE_TEIR", "SEALANE_TIER"),
        ("sealane_tier", "SEALANE_TIER"),
        ("SEALANE_LANE", "SEALANE_LANES"),
        ("KRAKEN_USER_x_KEY", "KRAKEN_USER_x_API_KEY"),
        ("KRAKEN_USER_daivon_frazier_SECRET", "KRAKEN_USER_daivon_frazier_API_SECRET"),
        ("KRAKEN_USER_x_PRIVATE_KEY", "KRAKEN_USER_x_API_SECRET"),
        ("DATADIR", "DATA_DIR"),
        ("HARDBUYOFF", "HARD_BUY_OFF"),
        ("SEALANE_QQQQQQ_WWWW", ""),
        ("KRAKEN_USER_a_b_API_KEY", None),
        ("DATA_DIR", None),
        ("PATH", None),
        ("XDG_DATA_DIRS", None),
        ("MY_API_KEY", None),
    ],
)
def test_misspelt_names(name, spelt):
    assert meant(name) == spelt


def test_a_misspelt_name_is_a_warning_that_says_what_to_write():
    (found,) = judge_names({"SEALANE_TEIR": "pro", "PATH": "/bin"})
    assert (found.level, found.subject, found.remedy) == (Level.WARNING, "SEALANE_TEIR", "write SEALANE_TIER")
    (found,) = judge_names({"PATH": "/bin"})
    assert found.level is Level.OK


def test_the_known_names_are_those_of_the_settings_page():
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", row)}
    assert {"KRAKEN_API_KEY", "SEALANE_LANES", "DATA_DIR"} <= named
    named -= {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}  # systemd's own, which nobody sets by hand
    assert named <= set(VARIABLES), "the doctor calls a variable of the settings page unknown"
    assert set(VARIABLES) <= named, "the doctor knows a variable that the settings page does not"
    assert len(set(VARIABLES)) == len(VARIABLES)


# --- the clock ---

NOW = 1_790_000_000 * 10**9


@pytest.mark.parametrize(
    ("ahead_s", "level", "word"),
    [
        (0.5, Level.OK, "agree"),
        (1.4, Level.OK, "agree"),
        (4.0, Level.WARNING, "ahead of"),
        (-4.0, Level.WARNING, "behind"),
        (60.0, Level.FAULT, "ahead of"),
        (-60.0, Level.FAULT, "behind"),
    ],
)
def test_the_clock_against_krakens(ahead_s, level, word):
    asked = NOW + int((ahead_s + 0.5) * 10**9)
    found = judge_clock(ClockFacts(NOW // 10**9, asked - 5_000_000, asked + 5_000_000))[0]
    assert found.level is level
    assert word in found.message


def test_a_slow_answer_tells_less_of_the_clock_and_more_of_the_way():
    clock, way = judge_clock(ClockFacts(NOW // 10**9, NOW, NOW + 6 * 10**9))
    assert (clock.level, way.level) == (Level.OK, Level.WARNING)
    assert (clock.check, way.check) == ("clock", "round-trip")


@pytest.mark.parametrize("answer", [None, {}, {"unixtime": "soon"}, []])
def test_an_answer_without_a_time(answer):
    with pytest.raises(Unavailable):
        unix_time(answer)


# --- findings ---


def test_the_worst_comes_first_and_decides():
    rows = [
        a_good_one("a", "1", "x"),
        a_warning("b", "2", "x", "y"),
        a_skipped_one("c", "3", "x"),
        a_fault("d", "4", "x", "y"),
    ]
    assert [finding.check for finding in worst_first(rows)] == ["d", "b", "c", "a"]
    assert verdict(rows) == "faults"
    assert verdict(rows[:3]) == "warnings"
    assert verdict([rows[0], rows[2]]) == "sound"
    assert rows[1].document() == {"check": "b", "level": "warning", "subject": "2", "message": "x", "remedy": "y"}
