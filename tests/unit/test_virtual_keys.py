"""Virtual keys on disk: made, changed, found by the gateway, and refused where they cannot be read."""

import base64
import json
import logging
import os
import stat
import string
import timeit
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from sealane.core.secret import Secret
from sealane.errors import NotDurable, SettingsError
from sealane.gateway.keys import gateway_folder, key_file, private_files
from sealane.gateway.keys.key_file import RETRY_S, KeyFile, KeyRing
from sealane.gateway.keys.policy import Cap, Policy
from sealane.gateway.keys.virtual_key import Credential, VirtualKey, new_key, secret_of, secret_text
from sealane.store import disk

NOW = 1_800_000_000.0
POLICY = Policy(pairs=frozenset({"XBTUSD"}), max_order=Cap(Decimal(500)))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "gateway"


@pytest.fixture
def file(folder):
    return KeyFile(folder)


@pytest.fixture
def ring(folder):
    ring = KeyRing(folder)
    yield ring
    ring.close()


def made(file, name="bot", **more):
    return file.create(name, "MASTER", more.pop("policy", POLICY), NOW, **more)


def found(ring, key, now_s=NOW):
    return ring.find(key.current.key, now_s)


# --- keys and secrets ---


def test_a_key_and_its_secret_look_like_kraken_s_and_are_known_where_they_leak(file):
    key, secret = made(file)
    text = key.current.key
    assert len(text) == 56
    assert text.startswith("SEALANE")
    assert set(text) <= set(string.ascii_letters + string.digits)
    assert len(secret) == 88
    assert secret.startswith("SEALANE/")
    assert len(base64.b64decode(secret, validate=True)) == 64


def test_no_two_keys_or_generations_have_one_secret():
    master, text = Secret(bytes(range(64))), new_key()
    texts = {secret_text(secret_of(master, Credential(text, number))) for number in range(50)}
    texts |= {secret_text(secret_of(master, Credential(new_key(), 1))) for _ in range(50)}
    texts.add(secret_text(secret_of(Secret(bytes(64)), Credential(text, 1))))
    assert len(texts) == 101


def test_a_secret_of_old_stays_what_it_was():
    """Every bot has one: a change of how they are derived would lock all of them out."""
    credential = Credential("SEALANE" + "a" * 49, 3)
    assert secret_text(secret_of(Secret(bytes(range(64))), credential)) == (
        "SEALANE/9haaSXvMtA4gXjmeajMcbUpHGNOY6Q2RCr2q2y22sTe7DqYEZQVhcktU1WIyYZiZpUtBaVo8HetVzQ=="
    )


def test_no_secret_lies_beside_the_policies_nor_shows_in_a_repr(file, folder, ring):
    key, secret = made(file)
    held = found(ring, key)
    raw = base64.b64decode(secret)
    for path in folder.iterdir():
        assert secret.encode() not in path.read_bytes()
        assert raw[6:] not in path.read_bytes()
    for shown in (repr(key), repr(held), str(held), repr(ring.all())):
        assert secret not in shown
        assert key.current.key not in shown
    assert held.secret.reveal() == raw


def test_the_folder_and_all_its_files_are_the_owner_s_alone(file, folder, ring):
    key, _ = made(file)
    assert found(ring, key)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"keys.json", "keys.lock", "master.key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_master_that_others_may_read_is_told(file, folder, caplog):
    made(file)
    (folder / "master.key").chmod(0o640)
    made(file, "other")
    assert f"chmod 600 {folder / 'master.key'}" in caplog.text


# --- the list ---


def test_keys_come_back_as_they_were_made(file, folder):
    one, _ = made(file, "one", expires_s=NOW + 60)
    other, _ = file.create("other-2_x", "daivon_frazier", Policy(), NOW + 1)
    assert KeyFile(folder).all() == (one, other)
    assert KeyFile(folder).named("ONE") == one
    assert [key.status(NOW + 59) for key in file.all()] == ["active", "active"]
    assert [key.status(NOW + 60) for key in file.all()] == ["expired", "active"]


@pytest.mark.parametrize(
    "name", ["", "1bot", "-bot", "bot!", "b" * 41, "bot bot", "böt", "bot\n", "../bot", "Bot", "BOT"]
)
def test_a_name_that_cannot_be_is_refused(file, name):
    with pytest.raises(SettingsError, match="name"):
        made(file, name)
    assert file.all() == ()


def test_a_name_is_never_used_again(file):
    made(file, "a" + "b" * 39)
    made(file)
    file.revoke("bot", NOW + 1)
    with pytest.raises(SettingsError, match="not used again"):
        made(file)
    assert [key.status(NOW + 2) for key in file.all()] == ["active", "revoked"]


def test_a_key_that_would_have_expired_is_refused(file):
    with pytest.raises(SettingsError, match="expired"):
        made(file, expires_s=NOW)


def test_a_revoked_key_cannot_be_changed(file):
    made(file)
    file.revoke("bot", NOW)
    for change in (file.pause, file.resume, lambda name: file.revoke(name, NOW), lambda name: file.rotate(name, NOW)):
        with pytest.raises(SettingsError, match="revoked"):
            change("bot")


def test_a_name_that_is_not_there_names_those_that_are(file):
    with pytest.raises(SettingsError, match="none was made yet"):
        file.pause("bot")
    made(file)
    with pytest.raises(SettingsError, match="there are: bot"):
        file.named("bat")


def test_many_at_once_lose_nothing(file, folder):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: made(KeyFile(folder), f"bot{number}"), range(24)))
    assert sorted(key.name for key in file.all()) == sorted(f"bot{number}" for number in range(24))
    assert len({key.current.key for key in file.all()}) == 24


def test_a_lock_that_is_kept_ends_in_an_error_that_says_so(file, folder, monkeypatch):
    made(file)
    monkeypatch.setattr(disk, "LOCK_WAIT_S", 0.01)
    fd = os.open(folder / "keys.lock", os.O_RDWR)
    private_files.DISK.lock(fd)
    with pytest.raises(NotDurable, match="Find the process that holds it"):
        file.pause("bot")
    os.close(fd)
    assert file.pause("bot").paused


STEPS = ("open", "write", "sync", "rename", "sync_folder")


@pytest.mark.parametrize("step", STEPS)
def test_a_change_that_fails_or_dies_at_any_step_leaves_the_list_as_it_was_or_changed(file, folder, monkeypatch, step):
    key, _ = made(file)

    def fails(*arguments, **named):
        raise OSError(28, "No space left on device")

    if step == "open":
        monkeypatch.setattr(private_files.os, "open", fails)
    else:
        monkeypatch.setattr(private_files.DISK, step, fails)
    with pytest.raises(NotDurable, match="No space left"):
        file.pause("bot")
    monkeypatch.undo()
    stands = key if step != "sync_folder" else replace(key, paused=True)
    assert file.all() == (stands,)
    assert file.pause("bot").paused
    assert {path.name for path in folder.iterdir()} == {"keys.json", "keys.lock", "master.key"}


def test_a_file_is_synced_before_it_takes_the_place_of_another(file, monkeypatch):
    made(file)
    done = []
    for step in STEPS[2:]:
        verb = getattr(private_files.DISK, step)
        monkeypatch.setattr(private_files.DISK, step, lambda *a, step=step, verb=verb: (done.append(step), verb(*a))[1])
    file.pause("bot")
    assert done == ["sync", "rename", "sync_folder"]


def test_what_a_dead_process_left_is_no_trouble(file, folder):
    made(file)
    (folder / "keys.json.new").write_text("half of")
    (folder / "keys.json.new").chmod(0o400)
    assert file.pause("bot").paused


def damaged(document):
    yield b""
    yield b"{"
    yield b"\xff\xfe"
    yield b"[]"
    yield b"[" * 100_000
    yield json.dumps(document | {"version": 2}).encode()
    yield json.dumps({name: value for name, value in document.items() if name != "master"}).encode()
    (row,) = document["keys"]
    (credential,) = row["credentials"]
    yield json.dumps(document | {"keys": [row, row]}).encode()
    yield json.dumps(document | {"keys": [row, row | {"name": "other"}]}).encode()
    for change in (
        {"paused": 0},
        {"paused": "false"},
        {"revoked_s": False},
        {"expires_s": "never"},
        {"credentials": []},
        {"credentials": [credential | {"key": "short"}]},
        {"credentials": [credential | {"generation": "1"}]},
        {"credentials": [credential | {"until_s": "soon"}]},
        {"policy": row["policy"] | {"most_a_day": "5"}},
        {"policy": row["policy"] | {"max_order": {"amount": "x", "asset": None}}},
        {"policy": row["policy"] | {"own_orders": "yes"}},
        {"policy": row["policy"] | {"max_order": {"amount": "NaN", "asset": None}}},
        {"policy": row["policy"] | {"max_order": {"amount": "5", "asset": 5}}},
        {"policy": row["policy"] | {"max_order": []}},
        {"policy": row["policy"] | {"share": True}},
        {"policy": row["policy"] | {"price_band": 0.05}},
        {"policy": row["policy"] | {"pairs": [5]}},
        {"policy": row["policy"] | {"pairs": "XBTUSD"}},
        {"policy": row["policy"] | {"allow": "read"}},
        {"policy": row["policy"] | {"allow": {"read": True}}},
        {"policy": None},
        {"name": 5},
        {"account": ""},
        {"color": "red"},
    ):
        yield json.dumps(document | {"keys": [row | change]}).encode()


def test_a_file_that_cannot_be_used_is_told_and_left_as_it_is(file, folder, ring):
    key, _ = made(file)
    path = folder / "keys.json"
    good = path.read_bytes()
    for content in damaged(json.loads(good)):
        path.write_bytes(good)
        assert found(ring, key)
        path.write_bytes(content)
        for ask in (file.all, lambda: made(file, "other"), lambda: file.revoke("bot", NOW)):
            with pytest.raises(SettingsError, match=r"keys\.json cannot be used") as told:
                ask()
            assert "Nothing was changed" in str(told.value)
        assert path.read_bytes() == content
        assert found(ring, key) is None, content
        assert "cannot be used" in ring.trouble


# --- the master ---


@pytest.mark.parametrize("content", [None, b"", b"short", bytes(64)])
def test_without_its_master_a_list_is_refused_and_no_other_is_made(file, folder, ring, content):
    key, _ = made(file)
    path = folder / "master.key"
    good = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for ask in (lambda: made(file, "other"), lambda: file.rotate("bot", NOW)):
        with pytest.raises(SettingsError, match=r"master\.key is"):
            ask()
    assert path.exists() == (content is not None)
    assert found(ring, key) is None
    assert "master.key" in ring.trouble
    path.write_bytes(good)
    assert found(ring, key, NOW + RETRY_S / 2) is None
    assert found(ring, key, NOW + RETRY_S)
    assert ring.trouble == ""


def test_a_key_can_be_revoked_without_the_master(file, folder):
    made(file)
    (folder / "master.key").unlink()
    file.pause("bot")
    assert file.revoke("bot", NOW).revoked_s == NOW


def test_a_master_of_a_death_before_the_first_key_is_used(file, folder, monkeypatch):
    monkeypatch.setattr(key_file.KeyFile, "_write", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(NotDurable):
        made(file)
    monkeypatch.undo()
    master = (folder / "master.key").read_bytes()
    made(file)
    assert (folder / "master.key").read_bytes() == master


# --- the gateway's ring ---


def test_what_a_command_changes_holds_at_the_next_call(file, ring):
    assert ring.find("SEALANE", NOW) is None
    assert ring.trouble == ""
    key, secret = made(file, expires_s=NOW + 60)
    held = found(ring, key)
    assert (held.name, held.account, held.policy) == ("bot", "MASTER", POLICY)
    assert held.secret.reveal() == base64.b64decode(secret)
    assert (held.is_expired(NOW + 59), held.is_expired(NOW + 60)) == (False, True)
    assert not held.paused
    file.pause("bot")
    assert found(ring, key).paused
    file.resume("bot")
    assert not found(ring, key).paused
    assert ring.names() == ("bot",)
    file.revoke("bot", NOW)
    assert found(ring, key) is None
    assert ring.names() == ()
    assert [one.name for one in ring.all()] == ["bot"]


def test_a_rotated_key_goes_on_for_its_grace_and_no_longer(file, ring):
    old, old_secret = made(file)
    new, new_secret = file.rotate("bot", NOW, grace_s=3_600)
    assert new_secret != old_secret
    assert found(ring, new, NOW).secret.reveal() == base64.b64decode(new_secret)
    assert found(ring, old, NOW + 3_599.9).secret.reveal() == base64.b64decode(old_secret)
    assert found(ring, old, NOW + 3_600) is None
    assert found(ring, new, NOW + 3_600)
    assert found(ring, old, NOW).fingerprint != found(ring, new, NOW).fingerprint


def test_a_second_rotation_gives_the_first_key_no_further_time(file, ring):
    first, _ = made(file)
    second, _ = file.rotate("bot", NOW, grace_s=10)
    third, _ = file.rotate("bot", NOW + 5, grace_s=100)
    assert [bool(found(ring, key, NOW + 6)) for key in (first, second, third)] == [True, True, True]
    assert [bool(found(ring, key, NOW + 11)) for key in (first, second, third)] == [False, True, True]
    fourth, _ = file.rotate("bot", NOW + 50)
    assert [bool(found(ring, key, NOW + 51)) for key in (first, second, third, fourth)] == [False, False, False, True]
    assert [one.generation for one in file.named("bot").credentials] == [4]
    with pytest.raises(SettingsError, match="grace"):
        file.rotate("bot", NOW, grace_s=-1)


def test_the_same_size_at_the_same_time_is_seen_all_the_same(file, folder, ring):
    """Two changes within the file system's tick, of one length, of which the second gets the first's inode."""
    key, _ = made(file)
    path = folder / "keys.json"
    document = json.loads(path.read_bytes())

    def put(paused):
        document["keys"][0]["paused"] = paused
        private_files.put(path, json.dumps(document).encode().ljust(2_000))
        os.utime(path, ns=(0, 0))

    put(False)
    assert not found(ring, key).paused
    for paused in (True, False) * 4:
        put(not paused)
        put(paused)
        assert found(ring, key).paused == paused


def test_a_list_that_vanishes_is_an_empty_one(file, folder, ring):
    key, _ = made(file)
    assert found(ring, key)
    (folder / "keys.json").rename(folder / "aside.json")
    assert found(ring, key) is None
    assert ring.trouble == ""
    (folder / "aside.json").rename(folder / "keys.json")
    assert found(ring, key)


def test_an_unreadable_list_is_told_once_and_tried_again(file, folder, ring, caplog):
    key, _ = made(file)
    path = folder / "keys.json"
    good = path.read_bytes()
    assert found(ring, key)
    path.write_bytes(b"{")
    with caplog.at_level(logging.WARNING, "sealane.gateway"):
        for tenth in range(100):
            assert found(ring, key, NOW + tenth / 10) is None
        assert len(caplog.records) == 1
        assert ring.all() == ()
        path.write_bytes(good)
        assert found(ring, key)
        assert ring.trouble == ""
    assert "can be read again" in caplog.text


def test_a_list_that_the_system_does_not_give_out_is_tried_again(file, ring, monkeypatch):
    key, _ = made(file)

    def refuses(self):
        raise OSError(5, "Input/output error")

    assert found(ring, key)
    file.pause("bot")
    monkeypatch.setattr(KeyRing, "_read", refuses)
    assert found(ring, key) is None
    assert "Input/output error" in ring.trouble
    monkeypatch.undo()
    assert found(ring, key, NOW + RETRY_S / 2) is None
    assert found(ring, key, NOW - RETRY_S)


def test_a_ring_holds_one_file_open_and_lets_go_of_it(file, folder):
    key, _ = made(file)
    ring = KeyRing(folder)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for _ in range(5):
        file.pause("bot")
        file.resume("bot")
        assert found(ring, key)
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before + 1
    ring.close()
    assert found(ring, key)
    ring.close()


def test_a_look_is_cheap(file, ring):
    """Some 3 µs here; the limit leaves room for a busy machine."""
    for number in range(20):
        key, _ = made(file, f"bot{number}")
    took_s = min(timeit.repeat(lambda: ring.find(key.current.key, NOW), number=200, repeat=20)) / 200
    assert took_s < 25e-6


# --- where ---


def test_keys_of_the_simulator_are_kept_apart(tmp_path):
    data = str(tmp_path)
    assert gateway_folder({"DATA_DIR": data}) == tmp_path / "simulator" / "gateway"
    assert gateway_folder({"DATA_DIR": data, "COINBASE_API_KEY": "x"}) == tmp_path / "simulator" / "gateway"
    assert gateway_folder({"DATA_DIR": data, "KRAKEN_API_KEY": "x"}) == tmp_path / "gateway"
    assert gateway_folder({"DATA_DIR": data, "KRAKEN_USER_a_API_SECRET": "x"}) == tmp_path / "gateway"
    assert str(gateway_folder({"KRAKEN_API_KEY": "x"})) == "data/gateway"


def test_a_stored_key_has_only_what_json_has(file):
    key, _ = made(file, expires_s=NOW + 1)
    assert VirtualKey.loaded(json.loads(json.dumps(key.stored()))) == key
