"""The doctor's view of an engine: whether it answers, what it forgets, and that the folder beside it need not last."""

from dataclasses import replace

import pytest
from redis_server import serving

from sealane.doctor.engine_check import EngineFacts, judge_engine, without_lasting
from sealane.doctor.examination import Visit, examine
from sealane.doctor.finding import Level, fault, warning
from sealane.doctor.folder import look_at_folder
from sealane.doctor.mounts import Mount

pytestmark = pytest.mark.usefixtures("own_stores")
PASSWORD = "hunter2-Secret"
FACTS = EngineFacts("redis://db:6379/0", lease_ms=3_000, answer_ms=0.5)


def seen(url, tmp_path, **environ):
    """Findings by their check."""
    environ = {"SEALANE_STORE": url, "DATA_DIR": str(tmp_path / "data")} | environ
    found = examine(Visit(environ, offline=True, deploy_folder=tmp_path))
    assert PASSWORD not in str(found)
    assert [finding for finding in found if finding.check == "doctor"] == []
    return {finding.check: finding for finding in found}


def test_one_that_keeps_what_it_answers_is_sound(tmp_path):
    with serving(tmp_path / "valkey", "--appendonly", "yes", password=PASSWORD) as server:
        found = seen(server.url(), tmp_path)
    assert found["store"].level is Level.OK
    assert found["store"].message == "nonces are kept by an engine (redis:), which leases lanes to hosts"
    assert found["engine"].level is Level.OK
    assert found["engine"].subject == f"redis://127.0.0.1:{server.port}/0"
    assert found["engine-keeps"].level is Level.OK
    assert found["engine-lease"].message == "a lease lasts 3,000 ms"
    assert found["folder-there"].level is Level.SKIPPED, "it need not last"


@pytest.mark.parametrize(("save", "said"), [((), "nothing on disk"), (("--save", "900 1"), "snapshots only")])
def test_one_that_forgets_is_told(tmp_path, save, said):
    with serving(tmp_path / "valkey", *save, password=PASSWORD) as server:
        found = seen(server.url(lease_ms=20_000), tmp_path)
    assert found["engine-keeps"].level is Level.WARNING
    assert said in found["engine-keeps"].message
    assert "appendonly yes" in found["engine-keeps"].remedy
    assert found["engine-lease"].level is Level.WARNING


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"redis://:{PASSWORD}@127.0.0.1:1/0", "cannot be had"),
        (f"postgresql://me:{PASSWORD}@127.0.0.1:1/db", "no call can be made"),
    ],
)
def test_one_that_cannot_be_reached_is_a_fault(tmp_path, url, said, monkeypatch):
    monkeypatch.setattr("sealane.store.postgres.engine.ENGINE_LIMIT_S", 0.5)
    found = seen(url, tmp_path)
    assert found["engine"].level is Level.FAULT
    assert said in found["engine"].message


def test_a_wrong_password_is_told_and_not_shown(tmp_path):
    with serving(tmp_path / "valkey", password=PASSWORD) as server:
        found = seen(server.url().replace(PASSWORD, "another-Secret"), tmp_path)
    assert found["engine"].level is Level.FAULT
    assert "another-Secret" not in str(found)


def test_a_url_that_is_none_is_a_setting(tmp_path):
    found = seen(f"redis://:{PASSWORD}@127.0.0.1/0?lease_ms=1", tmp_path)
    assert found["setting"].level is Level.FAULT
    assert found["setting"].subject == "SEALANE_STORE"
    assert "engine" not in found


@pytest.mark.parametrize(
    ("changes", "check", "said"),
    [
        ({"answer_ms": 80.0}, "engine", "same region"),
        ({"lease_ms": 500}, "engine-lease", "lease_ms"),
        ({"lease_ms": 30_000}, "engine-lease", "lease_ms"),
        ({"weakness": "its disk is never waited for (fsync off)"}, "engine-keeps", "fsync on"),
    ],
)
def test_each_weakness_is_a_warning(changes, check, said):
    bad = [finding for finding in judge_engine(replace(FACTS, **changes)) if finding.level is Level.WARNING]
    assert [finding.check for finding in bad] == [check]
    assert said in bad[0].remedy


def test_a_sound_one_has_nothing_bad():
    assert {finding.level for finding in judge_engine(FACTS)} == {Level.OK}


def test_what_a_folder_must_be_still_is_told(tmp_path):
    folder = look_at_folder(tmp_path)
    findings = [
        fault("platform-volume", tmp_path, "no volume", "mount one"),
        warning("folder-disk", tmp_path, "tmpfs", "mount a volume"),
        fault("folder-locks", tmp_path, "no locks", "another disk"),
        fault("folder-there", tmp_path, "cannot be made", "make it"),
    ]
    eased = {found.check: found.level for found in without_lasting(findings, folder)}
    assert eased == {
        "platform-volume": Level.SKIPPED,
        "folder-disk": Level.SKIPPED,
        "folder-locks": Level.FAULT,
        "folder-there": Level.FAULT,
    }
    network = replace(folder, mount=Mount(point="/mnt", fs_type="nfs4", source="nas:/x"))
    assert list(without_lasting(findings, network)) == findings, "locks of a network file system are no locks"
