"""The data folder and the platform: real trials where a user can make the trouble, made-up facts where not."""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from sealane.doctor import Visit, examine
from sealane.doctor.finding import Level
from sealane.doctor.folder import TRIAL_PREFIX, FolderFacts, judge_folder, look_at_folder
from sealane.doctor.mounts import Mount, mount_of, mounts_in
from sealane.doctor.platform import judge_platform
from sealane.store.disk import OsDisk

NOBODY = 65534
DISK = Mount("/", "ext4", "/dev/sda1")
MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /tmp rw,nosuid - tmpfs tmpfs rw,size=10k
41 22 0:50 / /mnt/nfs\\040share rw - nfs4 server:/export rw,vers=4.2
42 22 0:51 / /mnt/smb rw - cifs //server/share rw
43 22 8:17 / /app/data rw,noatime - ext4 /dev/sdb1 rw
44 43 8:18 / /app/data ro - xfs /dev/sdc1 ro
45 22 8:1 /var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/d /scratch rw - ext4 /dev/sda1 rw
not a line of mountinfo
"""


def facts(**changes):
    return replace(FolderFacts(Path("/app/data"), mount=DISK, free_bytes=1 << 40, free_files=1 << 20), **changes)


def one(findings, check):
    (found,) = [finding for finding in findings if finding.check == check]
    return found


@pytest.fixture
def folder():
    """A folder that another user can reach, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="sealane-doctor-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def looked_at_by_nobody(folder):
    """What a user without any right sees: in this process where we are no root, else in one that dropped its rights."""
    return as_nobody(lambda: look_at_folder(folder))


def as_nobody(act):
    if os.geteuid() != 0:
        return act()
    os.seteuid(NOBODY)
    try:
        return act()
    finally:
        os.seteuid(0)


# --- real folders ---


def test_a_good_folder_is_sound_and_left_as_it_was(folder):
    (folder / "kraken_global_nonce.txt").write_text("1737159471234567890")
    (folder / "kraken_global_nonce.txt").chmod(0o600)
    before = sorted(path.name for path in folder.iterdir())
    findings = judge_folder(look_at_folder(folder))
    bad = [finding for finding in findings if finding.level in (Level.WARNING, Level.FAULT)]
    assert [finding.check for finding in bad if finding.check not in ("folder-disk", "folder-room")] == []
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_missing_folder_that_can_be_made_is_a_warning_and_is_not_made(folder):
    missing = folder / "a" / "b"
    found = one(judge_folder(look_at_folder(missing)), "folder-there")
    assert found.level is Level.WARNING
    assert f"mkdir -p {missing}" in found.remedy
    assert not (folder / "a").exists()


def test_a_file_in_the_folders_place(folder):
    (folder / "data").write_text("")
    found = one(judge_folder(look_at_folder(folder / "data")), "folder-there")
    assert found.level is Level.FAULT
    inside = one(judge_folder(look_at_folder(folder / "data" / "x")), "folder-there")
    assert inside.level is Level.FAULT


def test_issue_2_volume_not_mounting(folder):
    """The guide's Issue 2: Errno 2, the folder is not there and the program cannot make it."""
    folder.chmod(0o555)
    found = one(judge_folder(looked_at_by_nobody(folder / "data")), "folder-there")
    assert found.level is Level.FAULT
    assert "[Errno 2] No such file or directory" in found.message
    assert "mount the volume" in found.remedy
    railway = one(judge_platform({"RAILWAY_PROJECT_ID": "p"}, facts()), "platform-volume")
    assert railway.level is Level.FAULT
    assert "no volume" in railway.message
    assert "Volumes" in railway.remedy
    assert "/app/data" in railway.remedy


def test_issue_3_nonce_file_permissions_error(folder):
    """The guide's Issue 3: Errno 13, the folder or a file in it belongs to another user."""
    nonce_file = folder / "kraken_global_nonce.txt"
    nonce_file.write_text("1")
    nonce_file.chmod(0o400 if os.geteuid() else 0o600)
    folder.chmod(0o555)
    seen = looked_at_by_nobody(folder)
    folder.chmod(0o755)
    writable = one(judge_folder(seen), "folder-writable")
    assert writable.level is Level.FAULT
    assert "Could not persist nonce to disk: [Errno 13] Permission denied" in writable.message
    assert "chown" in writable.remedy
    files = one(judge_folder(seen), "folder-files")
    assert files.level is Level.FAULT
    assert files.subject == str(nonce_file)
    assert not seen.is_usable


@pytest.mark.parametrize(
    ("closed", "mode", "word"),
    [
        ("a/data", 0o000, "may not look into it"),
        ("a/data", 0o333, "may not look into it"),
        ("a/data", 0o444, "may not look into it"),
        ("a", 0o000, "cannot be reached"),
        ("a/data/keys", 0o000, ""),
    ],
)
def test_a_folder_of_another_user_is_told_in_plain_words_and_breaks_no_check(folder, closed, mode, word):
    data = folder / "a" / "data"
    (data / "keys").mkdir(parents=True)
    for path in (folder / "a", data, data / "keys"):
        path.chmod(0o777)
    (data / "kraken_global_nonce.txt").write_text("1737159471234567890")
    (data / "kraken_global_nonce.txt").chmod(0o666)
    examine(Visit({"DATA_DIR": str(data)}, offline=True, deploy_folder=folder))  # what it imports, nobody may not read
    (folder / closed).chmod(mode)
    visit = Visit({"DATA_DIR": str(data)}, offline=True, deploy_folder=folder / "none", pause=lambda _: None)
    try:
        findings = as_nobody(lambda: examine(visit))
    finally:
        (folder / closed).chmod(0o777)
    assert "doctor" not in {finding.check for finding in findings}
    check = "folder-there" if word else "folder-files"
    found = one(findings, check)
    assert found.level is Level.FAULT
    assert "[Errno 13] Permission denied" in found.message
    assert word in found.message
    assert found.remedy
    assert not visit.folder.is_usable
    if word:
        assert one(findings, "nonce-file").level is Level.SKIPPED


def test_what_others_may_write_is_a_warning(folder):
    (folder / "kraken_global_nonce.txt").write_text("1")
    (folder / "kraken_global_nonce.txt").chmod(0o666)
    folder.chmod(0o777)
    found = one(judge_folder(look_at_folder(folder)), "folder-private")
    assert found.level is Level.WARNING
    assert "(0777)" in found.message
    assert "(0666)" in found.message


def test_a_group_may_write(folder):
    """As Kubernetes makes volumes for pods that are not root."""
    folder.chmod(0o2770)
    assert one(judge_folder(look_at_folder(folder)), "folder-private").level is Level.OK


@pytest.mark.parametrize("verb", ["write", "sync", "try_lock", "is_locked"])
def test_a_trial_that_fails_is_told_and_leaves_nothing(folder, monkeypatch, verb):
    def fails(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(OsDisk, verb, staticmethod(fails))
    findings = judge_folder(look_at_folder(folder))
    found = one(findings, "folder-locks" if "lock" in verb else "folder-writable")
    assert found.level is Level.FAULT
    assert "[Errno 28]" in found.message
    assert list(folder.glob(f"{TRIAL_PREFIX}*")) == []


def test_locks_that_keep_nobody_out_are_a_fault(folder, monkeypatch):
    monkeypatch.setattr(OsDisk, "is_locked", lambda *_: False)
    found = one(judge_folder(look_at_folder(folder)), "folder-locks")
    assert found.level is Level.FAULT
    assert "keep anybody else out" in found.message


def test_a_disk_whose_limit_is_reached_is_told(folder):
    """A real refusal of the kernel: this process may write no file larger than 1 KiB."""
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "from sealane.doctor.folder import judge_folder, look_at_folder;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024));"
        "print([f.message for f in judge_folder(look_at_folder(Path(sys.argv[1]))) if f.check == 'folder-writable'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "only a part was written" in done.stdout


# --- made-up facts ---


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({"free_bytes": 0}, Level.FAULT, "full"),
        ({"free_files": 0}, Level.FAULT, "inodes"),
        ({"free_bytes": 30 << 20}, Level.WARNING, "30 MiB"),
        ({"free_files": 5}, Level.WARNING, "inodes"),
        ({"free_bytes": None, "free_files": None}, Level.OK, "enough"),
        ({}, Level.OK, "MiB"),
    ],
)
def test_room(changes, level, word):
    found = one(judge_folder(facts(**changes)), "folder-room")
    assert found.level is level
    assert word in found.message


@pytest.mark.parametrize(
    ("mount", "level", "word"),
    [
        (Mount("/app/data", "nfs4"), Level.FAULT, "network"),
        (Mount("/app/data", "cifs"), Level.FAULT, "network"),
        (Mount("/app/data", "fuse.sshfs"), Level.FAULT, "network"),
        (Mount("/app/data", "9p"), Level.FAULT, "network"),
        (Mount("/app/data", "ext4", root="/x/kubernetes.io~empty-dir/d"), Level.FAULT, "emptyDir"),
        (Mount("/", "overlay"), Level.WARNING, "gone with the container"),
        (Mount("/app", "tmpfs"), Level.WARNING, "gone with the container"),
        (DISK, Level.OK, "local"),
        (None, Level.SKIPPED, "does not tell"),
    ],
)
def test_file_systems(mount, level, word):
    found = one(judge_folder(facts(mount=mount)), "folder-disk")
    assert found.level is level
    assert word in found.message


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"write_error": "[Errno 30] Read-only file system", "mount": replace(DISK, read_only=True)}, "for writing"),
        ({"write_error": "[Errno 28] No space left on device"}, "space"),
        ({"write_error": "[Errno 13] Permission denied"}, "chown"),
    ],
)
def test_the_remedy_fits_why_nothing_can_be_written(changes, word):
    findings = judge_folder(facts(**changes))
    assert word in one(findings, "folder-writable").remedy
    assert one(findings, "folder-locks").level is Level.SKIPPED


@pytest.mark.parametrize(
    ("path", "fs_type", "own"),
    [
        ("/home/x/data", "ext4", False),
        ("/tmp/data", "tmpfs", True),
        ("/tmpfoo", "ext4", False),
        ("/mnt/nfs share/data", "nfs4", True),
        ("/app/data", "xfs", True),
        ("/scratch/d", "ext4", True),
    ],
)
def test_mountinfo_is_read(path, fs_type, own):
    mount = mount_of(Path(path), mounts_in(MOUNTINFO))
    assert (mount.fs_type, mount.is_own) == (fs_type, own)
    assert mount.read_only is (fs_type == "xfs")


def test_a_folder_is_looked_up_in_the_mountinfo(tmp_path):
    info = tmp_path / "mountinfo"
    info.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:26 / {tmp_path} rw - nfs4 server:/x rw\n")
    found = one(judge_folder(look_at_folder(tmp_path, info)), "folder-disk")
    assert found.level is Level.FAULT


def test_without_a_mountinfo_that_is_skipped(tmp_path):
    assert one(judge_folder(look_at_folder(tmp_path, tmp_path / "none")), "folder-disk").level is Level.SKIPPED


# --- platforms ---

VOLUME = Mount("/app/data", "ext4")
EMPTY_DIR = Mount("/app/data", "ext4", root="/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/data")
RAILWAY = {"RAILWAY_PROJECT_ID": "p", "RAILWAY_VOLUME_MOUNT_PATH": "/app/data"}


@pytest.mark.parametrize(
    ("environ", "mount", "level", "word"),
    [
        (RAILWAY, VOLUME, Level.OK, "mount of its own"),
        (RAILWAY, DISK, Level.FAULT, "no volume is mounted"),
        (RAILWAY, replace(VOLUME, fs_type="tmpfs"), Level.FAULT, "no volume is mounted"),
        (RAILWAY | {"RAILWAY_VOLUME_MOUNT_PATH": "/data"}, VOLUME, Level.FAULT, "not on it"),
        ({"RENDER": "true"}, DISK, Level.FAULT, "Render"),
        ({"RENDER": "true"}, VOLUME, Level.OK, "Render"),
        ({"FLY_APP_NAME": "x"}, Mount("/", "overlay"), Level.FAULT, "Fly"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, DISK, Level.FAULT, "Kubernetes"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, VOLUME, Level.OK, "Kubernetes"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, EMPTY_DIR, Level.FAULT, "Kubernetes"),
        ({"RENDER": "true"}, None, Level.SKIPPED, "does not tell"),
        ({}, DISK, Level.SKIPPED, "no platform"),
    ],
)
def test_a_platform_without_a_mount_is_ephemeral(environ, mount, level, word):
    found = one(judge_platform(environ, facts(mount=mount)), "platform-volume")
    assert found.level is level
    assert word in found.message
    assert level is not Level.FAULT or "/app/data" in found.remedy
    assert not re.search(r"\. [a-z]", found.message), "a sentence begins with a capital"


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"user_id": 0}, Level.OK),
        ({"user_id": 1000}, Level.OK),
        ({"user_id": 1000, "write_error": "[Errno 13] Permission denied"}, Level.FAULT),
    ],
)
def test_railway_mounts_volumes_as_roots(changes, level):
    found = one(judge_platform(RAILWAY, facts(**changes)), "platform-user")
    assert found.level is level
    assert level is not Level.FAULT or "RAILWAY_RUN_UID=0" in found.remedy


@pytest.mark.parametrize(("text", "level"), [("", Level.WARNING), ("0", Level.WARNING), ("30", Level.OK)])
def test_railway_kills_at_once_unless_told_otherwise(text, level):
    environ = RAILWAY | {"RAILWAY_DEPLOYMENT_DRAINING_SECONDS": text}
    assert one(judge_platform(environ, facts()), "platform-draining").level is level


def test_a_pull_requests_environment_with_a_key_is_a_second_writer():
    environ = RAILWAY | {"RAILWAY_ENVIRONMENT_NAME": "sealane-pr-12"}
    assert not [found for found in judge_platform(environ, facts()) if found.check == "platform-copy"]
    found = one(judge_platform(environ | {"KRAKEN_API_KEY": "k"}, facts()), "platform-copy")
    assert found.level is Level.WARNING
