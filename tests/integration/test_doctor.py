"""``sealane doctor`` as a person or a program uses it: real folders, a simulated Kraken, every trouble of the guide."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sealane import Kraken, Quarantined
from sealane.core.nonce import NS_PER_S
from sealane.doctor import Level, Visit, examination, examine, verdict
from sealane.doctor.settings_check import read_settings
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.store import open_store

LIMIT_S = 60
SEALANE = [sys.executable, "-m", "sealane.cli", "doctor"]
ADDRESSES = ["127.0.0.1"]
BAD = (Level.WARNING, Level.FAULT)
MOUNTINFO = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


@pytest.fixture
def data():
    folder = Path(os.environ["DATA_DIR"])
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def careful(keys, data):
    """Keys as they should be."""
    for account in keys.accounts:
        keys.update_account(account.name, ip_allowlist=ADDRESSES)
    return keys


@pytest.fixture
def look(tmp_path):
    """The doctor in this process, on a disk that is said to be a plain one."""
    (tmp_path / "mountinfo").write_text(MOUNTINFO)

    def run(**changes):
        visit = Visit(dict(os.environ), deploy_folder=tmp_path / "deploy", mountinfo=tmp_path / "mountinfo", **changes)
        return examine(visit)

    return run


def bad(findings, subject=None):
    return {f.check: f for f in findings if f.level in BAD and subject in (None, f.subject)}


def doctor(*arguments, cwd, **environment):
    """The command's document and exit code."""
    done = subprocess.run(
        [*SEALANE, *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=os.environ | environment,
        cwd=cwd,
        check=False,
    )
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return json.loads(line), done.returncode


# --- sound, and what a key's facts say ---


def test_a_sound_installation(careful, look):
    findings = look()
    assert bad(findings) == {}
    assert verdict(findings) == "sound"
    asked = [entry["method"] for entry in careful.journal()["entries"]]
    assert asked == ["GetApiKeyInfo", "GetApiKeyInfo"]
    assert bad(look()) == {}, "looking again finds no trouble that the first look made"


def test_lanes_of_their_own_in_a_smaller_unit_are_sound(careful, look, monkeypatch):
    monkeypatch.setenv("SEALANE_LANES", "per-key")
    monkeypatch.setenv("SEALANE_NONCE_UNIT", "us")
    for _ in range(3):
        assert bad(look()) == {}
    lanes = list(Path(os.environ["DATA_DIR"]).glob("kraken_key_*.txt"))
    assert [len(path.read_text()) for path in lanes] == [16, 16]


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"nonce_window": 100}, "key-window", Level.WARNING),
        ({"permissions": ["query-funds"]}, "key-permissions", Level.WARNING),
        ({"ip_allowlist": []}, "key-addresses", Level.WARNING),
        ({"valid_until": 1_700_000_000}, "key-expiry", Level.FAULT),
        ({"valid_until": SYSTEM_CLOCK.wall_ns() // NS_PER_S + 86_400}, "key-expiry", Level.WARNING),
        ({"nonce": str(SYSTEM_CLOCK.wall_ns() // 10**6)}, "key-nonce", Level.WARNING),
        ({"otp": "123456"}, "key", Level.FAULT),
    ],
)
def test_what_kraken_says_of_a_key(careful, look, changes, check, level):
    careful.set_switches(key_info_counts_itself=False)
    careful.update_account("user1", **changes)
    findings = look()
    assert bad(findings, "daivon_frazier")[check].level is level
    assert bad(findings, "MASTER") == {}
    assert bad(look(account="MASTER")) == {}, "the other account alone is sound"


def test_a_key_that_may_withdraw(careful, look):
    state = careful.state()["accounts"]["MASTER"]
    careful.update_account("MASTER", permissions=[*state["permissions"], "withdraw-funds"])
    assert set(bad(look())) == {"key-withdraw"}


@pytest.mark.parametrize("whole_lane", [False, True])
def test_another_program_on_the_key(careful, look, whole_lane):
    """It wrote a nonce between two of ours, which the answer shows, or ahead of all of ours: then there is none."""
    careful.set_switches(key_info_counts_itself=False)
    with Kraken.from_env() as kraken:
        kraken.private("Balance")
        last = kraken.statistics().last_nonce
    careful.update_account("MASTER", nonce=str(last + (20 * NS_PER_S if whole_lane else 1)))
    found = bad(look(), "MASTER")["key-nonce"]
    assert "foreign nonce" in found.message
    assert whole_lane or "counts in ns" in found.message


def stored_of(data):
    """What the folder keeps of keys, and the lane's number."""
    states = {path.name: path.read_bytes() for path in data.glob("keys/*")}
    return states, int((data / "kraken_global_nonce.txt").read_text())


@pytest.mark.parametrize("counts_itself", [False, True])
def test_a_key_that_is_ahead_is_told_and_nothing_jumps_or_stops(careful, look, data, counts_itself):
    """One nonce an account is drawn, and that is all that is left of the visit, however often it is repeated."""
    careful.set_switches(key_info_counts_itself=counts_itself)
    with Kraken.from_env("daivon_frazier") as kraken:
        kraken.private("Balance")
    careful.update_account("user1", nonce=str(SYSTEM_CLOCK.wall_ns() + 10_000 * NS_PER_S))
    states, _ = stored_of(data)
    careful.clear_journal()
    for _ in range(4):
        found = bad(look(account="daivon_frazier"), "daivon_frazier")
        assert set(found) == {"key", "key-nonce"}
        assert "EAPI:Invalid nonce" in found["key"].message
        assert "foreign nonce" in found["key-nonce"].message
    assert len(careful.journal()["entries"]) == 4, "one attempt a visit"
    after, number = stored_of(data)
    assert after == states
    assert number <= SYSTEM_CLOCK.wall_ns(), "the lane, which MASTER shares, did not jump"
    assert bad(look(account="MASTER")) == {}


def test_a_key_that_was_stopped_already_is_told_and_not_asked(careful, look):
    careful.update_account("MASTER", nonce=str(SYSTEM_CLOCK.wall_ns() + 10**17))
    with Kraken.from_env() as kraken, pytest.raises(Quarantined):
        kraken.private("Balance")
    careful.clear_journal()
    found = bad(look(account="MASTER"), "MASTER")
    assert "still getting invalid nonce" in found["key"].message
    assert "nonce raise --account MASTER" in found["key"].remedy
    assert found["key-state"].level is Level.FAULT
    assert careful.journal()["entries"] == []


def test_wrong_keys_are_explained(careful, look, monkeypatch):
    secret = os.environ["KRAKEN_API_SECRET"]
    monkeypatch.setenv("KRAKEN_API_SECRET", careful.accounts[1].api_secret)
    assert "EAPI:Invalid signature" in bad(look(), "MASTER")["key"].message
    monkeypatch.setenv("KRAKEN_API_SECRET", secret)
    monkeypatch.setenv("KRAKEN_API_KEY", "x" * 56)
    assert "knows no such key" in bad(look(), "MASTER")["key"].message


def test_orders_in_doubt_are_told_and_left_alone(careful, look):
    store = open_store(f"file:{os.environ['DATA_DIR']}")
    who = read_settings(dict(os.environ)).accounts[0]
    intent = {"id": "order-1", "account": "MASTER", "fingerprint": who.fingerprint, "method": "AddOrder"}
    store.intents().write("order-1", intent | {"order_ids": ["order-1"], "digest": "", "deadline_ns": 1}, sync=False)
    found = bad(look())
    assert set(found) == {"orders-in-doubt"}
    assert {entry["method"] for entry in careful.journal()["entries"]} == {"GetApiKeyInfo"}
    store.intents().close()


# --- the guide's troubleshooting part, by one command ---


def lost_after_restart(data, sim):
    """What is kept of a key shows that nonces were ahead; the file is gone, as from a volume that does not last."""
    with Kraken.from_env() as kraken:
        kraken.private("Balance")
    ahead = SYSTEM_CLOCK.wall_ns() + 3600 * NS_PER_S
    subprocess.run(
        [*SEALANE[:-1], "nonce", "raise", "--to", str(ahead)], check=True, capture_output=True, timeout=LIMIT_S
    )
    with Kraken.from_env() as kraken:
        kraken.private("GetApiKeyInfo")
        kraken.private("GetApiKeyInfo")
    for suffix in ("txt", "mark"):
        (data / f"kraken_global_nonce.{suffix}").unlink()
    return {}


def no_volume(data, _sim):
    data.rmdir()
    data.write_text("no folder, so that nobody can make one in it")
    return {"DATA_DIR": str(data / "app"), "RAILWAY_PROJECT_ID": "p"}


def not_mine(data, _sim):
    """A folder in the nonce file's place cannot be opened for writing by anybody, root included; nor can /proc."""
    data.rmdir()
    return {"DATA_DIR": "/proc/self"}


def starts_from_the_clock(data, _sim):
    (data / "kraken_global_nonce.txt").write_text("")
    return {}


def jumped(data, _sim):
    (data / "kraken_global_nonce.txt").write_text(str(SYSTEM_CLOCK.wall_ns() + 10**17))
    return {}


def poisoned(_data, sim):
    sim.update_account("MASTER", nonce=str(SYSTEM_CLOCK.wall_ns() + 10**17))
    return {}


@pytest.mark.parametrize(
    ("trouble", "check", "level", "word", "remedy"),
    [
        (lost_after_restart, "nonce-rewound", "fault", "EAPI:Invalid nonce", "sealane nonce raise --to"),
        (no_volume, "platform-volume", "fault", "no volume", "Volumes"),
        (no_volume, "folder-there", "fault", "[Errno 2] No such file or directory", "mount the volume"),
        (not_mine, "folder-writable", "fault", "Could not persist nonce to disk", ""),
        (starts_from_the_clock, "nonce-file", "fault", "Could not load persisted nonce", "nonce raise"),
        (jumped, "nonce-ahead", "warning", "ahead of the clock", "do not remove the file"),
        (poisoned, "key", "fault", "EAPI:Invalid nonce", "other program"),
        (poisoned, "key-nonce", "warning", "foreign nonce", "key of its own"),
    ],
    ids=[
        "issue 1: invalid nonce after restart",
        "issue 2: volume not mounting, by the platform",
        "issue 2: volume not mounting, by the folder",
        "issue 3: nonce file permissions",
        "issue 4: nonce resets to current time",
        "nonces jumping too far ahead",
        "still getting invalid nonce, by the key",
        "still getting invalid nonce, by the number",
    ],
)
def test_every_trouble_of_the_guide_is_found_by_one_command(
    careful, data, tmp_path, trouble, check, level, word, remedy
):
    environment = trouble(data, careful)
    document, code = doctor(cwd=tmp_path, **environment)
    assert code == (11 if level == "fault" else code)
    assert document["verdict"] == {10: "warnings", 11: "faults"}[code]
    (found, *_) = [row for row in document["findings"] if row["check"] == check and row["level"] == level]
    assert word in found["message"]
    assert found["remedy"]
    assert remedy in found["remedy"]


# --- the command ---


def test_exit_codes_and_the_form_of_the_document(careful, data, tmp_path):
    document, code = doctor(cwd=tmp_path)
    assert set(document) == {"verdict", "findings"}
    assert code == {"sound": 0, "warnings": 10, "faults": 11}[document["verdict"]]
    assert [sorted(row) for row in document["findings"]] == [["check", "level", "message", "remedy", "subject"]] * len(
        document["findings"]
    )
    levels = [row["level"] for row in document["findings"]]
    assert levels == sorted(levels, key=["fault", "warning", "skipped", "ok"].index)
    assert doctor(cwd=tmp_path, SEALANE_TIER="gold")[1] == 11


def test_offline_asks_nothing_and_changes_nothing(keys, tmp_path):
    with Kraken.from_env() as kraken:
        kraken.private("Balance")
    keys.clear_journal()
    data = Path(os.environ["DATA_DIR"])

    def stand():
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.rglob("*") if path.is_file()}

    before = stand()
    document, _ = doctor("--offline", cwd=tmp_path)
    assert stand() == before
    assert keys.journal()["summary"]["requests"] == 0
    skipped = {row["check"]: row["message"] for row in document["findings"] if row["level"] == "skipped"}
    assert "--offline" in skipped["clock"]
    assert "--offline" in skipped["key"]


def test_a_missing_folder_is_not_made(keys, tmp_path):
    document, code = doctor(cwd=tmp_path)
    assert code in (10, 11)
    assert not Path(os.environ["DATA_DIR"]).exists()
    assert "data folder" in next(row["message"] for row in document["findings"] if row["check"] == "key")


def test_a_person_gets_the_worst_first_each_with_its_remedy(careful, data, tmp_path):
    environment = os.environ | {
        "SEALANE_TEIR": "pro",
        "HARD_BUY_OFF": "1",
        "SEALANE_SYNC_INTENTS": "x",
        "COLUMNS": "100",
    }
    done = subprocess.run(
        SEALANE, capture_output=True, text=True, timeout=LIMIT_S, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 11
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines[-1].startswith("faults")
    assert lines[2].split()[:2] == ["fault", "setting"]
    text = " ".join(done.stdout.split())
    assert "→ write SEALANE_TIER" in text
    assert text.index("SEALANE_SYNC_INTENTS") < text.index("SEALANE_TEIR") < text.index("buys are blocked")


def test_deploy_files_of_another_folder(keys, data, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "railway.json").write_text('{"deploy": {"startComand": "x"}}')
    document, code = doctor("--offline", "--folder", str(tmp_path / "there"), cwd=tmp_path)
    assert code == 11
    assert any(row["remedy"] == "write startCommand" for row in document["findings"])


def test_kraken_out_of_reach(careful, data, look, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("KRAKEN_SPOT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        found = bad(look(account="MASTER"))
    assert found["clock"].level is Level.FAULT
    assert found["key"].level is Level.FAULT
    assert "network" in found["key"].remedy


def test_with_wrong_settings_the_rest_is_looked_at_all_the_same(careful, look, monkeypatch):
    monkeypatch.setenv("SEALANE_LANES", "x")
    findings = look()
    assert bad(findings)["setting"].subject == "SEALANE_LANES"
    assert {f.level for f in findings if f.check == "clock"} == {Level.OK}
    assert {f.message for f in findings if f.check == "key"} == {
        "not asked, since no program starts with these settings"
    }


def test_a_wrong_setting_of_the_log_is_a_finding_and_not_the_end(careful, data, tmp_path):
    document, code = doctor("--offline", cwd=tmp_path, SEALANE_LOG="xml")
    assert code == 11
    assert "SEALANE_LOG" in [row["subject"] for row in document["findings"] if row["level"] == "fault"]
    done = subprocess.run(
        [*SEALANE[:-1], "balance", "--json"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=os.environ | {"SEALANE_LOG": "xml"},
        check=False,
    )
    assert done.returncode == 2
    assert "SEALANE_LOG" in json.loads(done.stdout)["error"]["message"], "one JSON document of any command"


def test_a_store_in_memory_has_no_folder(careful, look, monkeypatch):
    monkeypatch.setenv("SEALANE_STORE", "memory:")
    findings = look()
    assert set(bad(findings)) == {"store"}
    assert {f.level for f in findings if f.check == "folder-there"} == {Level.SKIPPED}
    assert {f.level for f in findings if f.check == "key"} == {Level.OK}


def test_an_environment_that_is_no_text(data, tmp_path):
    environment = {**os.environb, b"SEALANE_TIER": b"\xff\xfe", b"KRAKEN_\xff": b"x", b"DATA_DIR": os.fsencode(data)}
    for arguments in (["--offline"], ["--offline", "--json"]):
        done = subprocess.run(
            [*SEALANE, *arguments], capture_output=True, timeout=LIMIT_S, env=environment, cwd=tmp_path, check=False
        )
        assert done.returncode == 11, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"SEALANE_TIER" in done.stdout


# --- a doctor never breaks, and tells no secret ---


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(careful, look, monkeypatch):
    def breaks(*_):
        raise RuntimeError("with a secret in its text")

    monkeypatch.setattr(examination, "judge_states", breaks)
    findings = look()
    (found,) = bad(findings).values()
    assert (found.check, found.subject, found.level) == ("doctor", "the state files", Level.FAULT)
    assert found.message == "could not be checked: RuntimeError"
    assert len({f.check for f in findings}) > 20


@pytest.mark.parametrize("name", ["read_settings", "look_at_folder", "read_store"])
def test_facts_that_cannot_be_gathered_break_only_what_needs_them(careful, look, monkeypatch, name):
    def breaks(*_, **__):
        raise PermissionError

    monkeypatch.setattr(examination, name, breaks)
    findings = look()
    assert {f.check for f in findings if f.level is Level.FAULT} >= {"doctor"}
    assert {f.check for f in findings} >= {"variable-name", "deploy-file"}


def test_a_check_that_never_ends_is_given_up(careful, look):
    never = threading.Event()
    findings = look(pause=lambda _: never.wait(), check_limit_s=1.0, offline=True)
    assert "other-writer" not in bad(findings), "there is no nonce file yet, so nothing to watch"
    (Path(os.environ["DATA_DIR"]) / "kraken_global_nonce.txt").write_text("1737159471234567890")
    found = bad(look(pause=lambda _: never.wait(), check_limit_s=0.2, offline=True))
    never.set()
    assert found["doctor"].subject == "other writers"
    assert "no end within 0.2 s" in found["doctor"].message


def test_no_secret_is_told(careful, data, tmp_path):
    secret, key = os.environ["KRAKEN_API_SECRET"], os.environ["KRAKEN_API_KEY"]
    otp, password = "otp-that-nobody-may-see", "password-that-nobody-may-see"
    environment = os.environ | {
        "KRAKEN_API_OTP": otp,
        "SEALANE_TIER": secret,
        "SEALANE_LANES": key,
        "KRAKEN_SPOT_URL": f"ftp://user:{password}@example.com",
        "HARD_BUY_OFF": otp,
        "COINBASE_PEM_CONTENT": "pem-that-nobody-may-see",
        "KRAKEN_APISECRET": "misspelt-secret",
    }
    (data / "kraken_global_nonce.txt").write_text(secret[:64])
    for arguments in ([], ["--json"]):
        done = subprocess.run(
            [*SEALANE, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=environment | {"COLUMNS": "1000"},
            cwd=tmp_path,
            check=False,
        )
        shown = done.stdout + done.stderr
        assert "SEALANE_TIER" in shown
        for hidden in (secret, key, otp, password, "pem-that", "misspelt-secret", secret[:12], key[:12], otp[:12]):
            assert hidden not in shown, arguments
