"""The command line as a person or a program uses it: a process of its own, its stdout and its exit code."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

LIMIT_S = 60
SEALANE = [sys.executable, "-m", "sealane.cli"]


def sealane(*arguments, code=0, **environment):
    done = subprocess.run(
        [*SEALANE, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def as_json(*arguments, code=0, **environment):
    """The one document on the one line of stdout."""
    lines = sealane(*arguments, "--json", code=code, **environment).stdout.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def test_help_names_every_command():
    shown = sealane("--help").stdout
    for command in ("demo", "sim", "call", "nonce"):
        assert command in shown


def test_a_call_prints_a_table_for_people_and_one_line_for_programs(keys):
    assert "ZUSD" in sealane("call", "Balance").stdout
    assert as_json("call", "Balance")["ZUSD"] == "100000.0000"
    assert as_json("call", "Balance", "--account", "daivon_frazier")["ZUSD"] == "101000.0000"
    assert keys.journal()["summary"]["refused_nonce"] == 0


def test_a_public_call_needs_no_key(sim):
    found = as_json("call", "Ticker", "pair=XBTUSD", "--public", KRAKEN_SPOT_URL=sim.url)
    assert list(found) == ["XXBTZUSD"]


def test_parameters_reach_kraken(keys):
    order = ("pair=XBTUSD", "type=buy", "ordertype=limit", "price=30000", "volume=0.01", "validate=true")
    assert "30000" in as_json("call", "AddOrder", *order)["descr"]["order"]


@pytest.mark.parametrize(
    ("fault", "method", "code", "kind"),
    [
        ({"kind": "error", "error": "EGeneral:Permission denied"}, "Balance", 3, "Refused"),
        ({"kind": "http_before", "status": 503, "count": 9}, "Balance", 4, "Unavailable"),
        ({"kind": "drop_after"}, "AddOrder", 5, "InDoubt"),
        ({"kind": "error", "error": "EAPI:Invalid nonce", "count": 9}, "Balance", 6, "Quarantined"),
    ],
)
def test_exit_codes_tell_how_it_ended(keys, fault, method, code, kind):
    keys.add_fault(**fault)
    order = ("pair=XBTUSD", "type=buy", "ordertype=market", "volume=0.01") if method == "AddOrder" else ()
    error = as_json("call", method, *order, code=code)["error"]
    assert error["kind"] == kind
    assert error["message"]


def test_settings_errors_exit_with_2_and_name_the_variable(sim):
    assert "KRAKEN_API_KEY" in as_json("call", "Balance", code=2)["error"]["message"]
    assert "KRAKEN_SPOT_URL" in sealane("call", "Time", "--public", code=2, KRAKEN_SPOT_URL="ftp://x").stderr
    assert "name=value" in sealane("call", "Time", "x", "--public", code=2, KRAKEN_SPOT_URL=sim.url).stderr


def test_usage_errors_exit_with_2():
    sealane("call", code=2)
    sealane("nonce", "next", "--count", "0", code=2)
    sealane("nosuchcommand", code=2)


def test_a_folder_that_cannot_be_written(keys, tmp_path):
    (tmp_path / "file").write_text("")
    error = as_json("call", "Balance", code=4, DATA_DIR=str(tmp_path / "file" / "x"))["error"]
    assert error["kind"] == "NotDurable"
    assert keys.journal()["summary"]["requests"] == 0


def test_nonces_from_the_command_line_rise_over_processes():
    first = as_json("nonce", "next", "--count", "3")["nonces"]
    assert first == sorted(set(first))
    plain = [int(line) for line in sealane("nonce", "next", "--count", "2").stdout.split()]
    assert plain[0] > first[-1]
    assert Path(os.environ["DATA_DIR"], "kraken_global_nonce.txt").read_text() == str(plain[-1])
    shown = as_json("nonce", "show")
    assert (shown["name"], shown["last_nonce"]) == ("kraken_global_nonce", plain[-1])
    assert as_json("nonce", "show")["last_nonce"] == plain[-1], "showing draws nothing"


def test_a_floor_is_raised_and_never_lowered():
    (last,) = as_json("nonce", "next")["nonces"]
    floor = as_json("nonce", "raise", "--to", str(last + 10**15))["floor"]
    assert floor == last + 10**15
    assert as_json("nonce", "raise", "--to", "5")["floor"] == floor
    assert as_json("nonce", "next")["nonces"] == [floor + 1]
    assert as_json("nonce", "raise", "--by-s", "60")["floor"] == floor + 1 + 60 * 10**9
    assert "say what to do" in sealane("nonce", "raise", code=2).stderr


def test_raising_for_an_account_lifts_its_quarantine(keys):
    poisoned = int(as_json("nonce", "next")["nonces"][0]) + 10**17
    keys.update_account("MASTER", nonce=str(poisoned))
    assert as_json("call", "Balance", code=6)["error"]["kind"] == "Quarantined"
    sent = keys.journal()["summary"]["requests"]
    assert sent == 4
    assert as_json("call", "Balance", code=6)["error"]["kind"] == "Quarantined"
    assert keys.journal()["summary"]["requests"] == sent, "a quarantined key sends nothing"
    assert as_json("call", "Balance", "--account", "daivon_frazier"), "the other account goes on"
    assert as_json("nonce", "show")["quarantined"]
    assert as_json("nonce", "raise", "--account", "MASTER", "--to", str(poisoned))["quarantine_lifted"] is True
    assert as_json("call", "Balance")["ZUSD"] == "100000.0000"


def test_per_key_lanes_have_files_of_their_own(keys):
    as_json("call", "Balance", SEALANE_LANES="per-key")
    as_json("call", "Balance", "--account", "daivon_frazier", SEALANE_LANES="per-key")
    names = {path.name for path in Path(os.environ["DATA_DIR"]).glob("kraken_key_*.txt")}
    assert len(names) == 2
    assert as_json("nonce", "show", SEALANE_LANES="per-key")["name"] + ".txt" in names


def test_sim_tells_its_url_and_keys_first_and_ends_on_a_signal():
    process = subprocess.Popen([*SEALANE, "sim", "--port", "0", "--accounts", "3"], stdout=subprocess.PIPE, text=True)
    try:
        document = json.loads(process.stdout.readline())
        assert [set(account) for account in document["accounts"]] == [{"name", "api_key", "api_secret"}] * 3
        assert as_json("call", "Time", "--public", KRAKEN_SPOT_URL=document["url"])["unixtime"]
        port = document["url"].rpartition(":")[2]
        assert port in sealane("sim", "--port", port, code=2).stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait(LIMIT_S)


def test_sim_takes_switches_and_a_frozen_clock_and_keeps_them(tmp_path):
    def ask(*options):
        command = [*SEALANE, "sim", "--port", "0", "--state", str(tmp_path / "kept.json"), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = json.loads(process.stdout.readline())["url"]
            with urllib.request.urlopen(f"{url}/sim/switches", timeout=LIMIT_S) as answer:
                switches = json.load(answer)
            now = as_json("call", "Time", "--public", KRAKEN_SPOT_URL=url)["unixtime"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0
            return switches["history_cost"], switches["validate_counts"], now
        finally:
            process.kill()
            process.stdout.close()
            process.wait(LIMIT_S)

    frozen = ("--clock", "frozen", "--start", "2027-01-15T08:00:00Z")
    assert ask("--switch", "history_cost=2", *frozen) == (2, True, 1_800_000_000)
    assert ask("--switch", "validate_counts=false") == (2, False, 1_800_000_000)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--switch", "history_costs=2"), "history_costs"),
        (("--switch", "validate_counts=maybe"), "give true or false"),
        (("--clock", "frozen", "--start", "noon"), "'noon' is no time"),
        (("--start", "2027-01-15T08:00:00Z"), "frozen clock only"),
    ],
)
def test_sim_refuses_what_it_cannot_take(options, said):
    assert said in " ".join(sealane("sim", "--port", "0", *options, code=2).stderr.split())


def test_the_demo_ends_with_one_line_of_json_and_no_refusal():
    done = sealane("demo", "--json")
    *_, last = done.stdout.splitlines()
    found = json.loads(last)
    assert set(found) == {"ordinary", "sealane"}
    assert found["ordinary"]["refused"] > 0, "the ordinary way collides"
    assert found["sealane"]["refused"] == 0
    assert found["sealane"]["calls"] > 100
    assert found["sealane"]["kills"] >= 5
