"""The container's entrypoint, run for real: as root and as others, on folders as platforms hand them over."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from container import ROOT, USER

ENTRYPOINT = ROOT / "deploy" / "docker" / "entrypoint.sh"
NOBODY = 65534
LIMIT_S = 20
REPORT = 'id -u; umask; grep NoNewPrivs /proc/self/status; echo x > "$DATA_DIR/kept"; stat -c %a "$DATA_DIR/kept"'

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand folders over and take users' places")


@pytest.fixture
def place():
    """A folder that every user can reach, with the entrypoint in it."""
    folder = Path(tempfile.mkdtemp(prefix="sealane-entrypoint-", dir="/var/tmp"))
    folder.chmod(0o755)
    shutil.copy(ENTRYPOINT, folder)
    yield folder
    shutil.rmtree(folder)


def run(place, *command, before=(), **env):
    """The entrypoint with a clean environment; ``before`` is what starts it, such as setpriv."""
    return subprocess.run(
        [*before, str(place / "entrypoint.sh"), *(command or ("sh", "-c", REPORT))],
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(place / "data")} | env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def as_user(uid):
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")


def without(*capabilities):
    return ("setpriv", "--bounding-set", ",".join(f"-{name}" for name in capabilities))


def owner(path):
    return path.stat().st_uid


@as_root
def test_a_volume_of_root_is_given_to_the_user_and_root_is_left(place):
    (place / "data" / "orders").mkdir(parents=True)
    (place / "data" / "kraken_global_nonce.txt").write_text("1")
    done = run(place)
    assert done.stdout.split("\n")[:4] == [str(USER), "0077", "NoNewPrivs:\t1", "600"], done.stderr
    assert {owner(path) for path in [place / "data", *(place / "data").rglob("*")]} == {USER}


@as_root
def test_somebody_elses_volume_stays_theirs_and_the_program_runs_as_them(place):
    (place / "data").mkdir()
    os.chown(place / "data", NOBODY, NOBODY)
    foreign = place / "data" / "foreign"
    foreign.write_text("")
    os.chown(foreign, 4711, 4711)
    done = run(place)
    assert done.stdout.split("\n")[0] == str(NOBODY), done.stderr
    assert owner(foreign) == 4711


@as_root
def test_a_missing_folder_is_made(place):
    done = run(place, DATA_DIR=str(place / "deep" / "data"))
    assert done.returncode == 0, done.stderr
    made = (place / "deep" / "data").stat()
    assert (made.st_uid, made.st_mode & 0o777) == (USER, 0o700)


@as_root
def test_what_lies_behind_a_link_is_not_given_away(place):
    (place / "data").mkdir()
    (place / "secret").write_text("")
    (place / "data" / "link").symlink_to(place / "secret")
    assert run(place).returncode == 0
    assert owner(place / "secret") == 0


@as_root
def test_started_as_a_user_it_changes_nothing(place):
    (place / "data").mkdir()
    os.chown(place / "data", USER, USER)
    done = run(place, before=as_user(USER))
    assert done.stdout.split("\n")[:2] == [str(USER), "0077"], done.stderr


@as_root
@pytest.mark.parametrize("missing", [True, False])
def test_a_folder_that_cannot_be_written_to_is_refused(place, missing):
    if not missing:
        (place / "data").mkdir()
    done = run(place, before=as_user(NOBODY))
    assert done.returncode == 2
    assert f"DATA_DIR={place}/data: mount a volume" in done.stderr
    assert done.stdout == ""


@as_root
@pytest.mark.parametrize(("lost", "word"), [("chown", "CHOWN"), ("setuid", "SETUID and SETGID")])
def test_root_without_its_powers_says_which_it_needs(place, lost, word):
    (place / "data").mkdir()
    done = run(place, before=without(lost))
    assert done.returncode == 2
    assert f"leave the container {word}" in done.stderr
    assert done.stdout == ""


@as_root
def test_a_read_only_root_is_enough(place):
    """Everything is mounted read-only but the data folder, in a mount namespace of the test's own."""
    data = place / "data"
    data.mkdir()
    script = (
        f"mount --bind {data} {data} && mount -o remount,bind,ro / && ! touch {place}/elsewhere "
        f"&& exec {place}/entrypoint.sh sh -c '{REPORT}'"
    )
    able = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if able.returncode != 0:
        pytest.skip("this machine gives no mount namespace")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout.split("\n")[0] == str(USER), done.stderr
    assert "Read-only file system" in done.stderr
    assert (data / "kept").exists()


@as_root
def test_as_the_first_process_it_puts_tini_before_the_program(place):
    tini = place / "bin" / "tini"
    tini.parent.mkdir()
    tini.write_text('#!/bin/sh\necho "tini $$ $*"\n')
    tini.chmod(0o755)
    first = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    if subprocess.run([*first, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine gives no process namespace")
    path = f"{tini.parent}:{os.environ['PATH']}"
    assert run(place, "sealane", "serve", before=first, PATH=path).stdout == "tini 1 -- sealane serve\n"
    assert run(place, "echo", "no init needed", PATH=path).stdout == "no init needed\n"


def test_railways_volume_is_the_default_and_another_place_is_warned_of(place):
    volume = place / "volume"
    volume.mkdir()
    volume.chmod(0o755)
    show = ("sh", "-c", 'echo "$DATA_DIR"')
    by_itself = run(place, *show, DATA_DIR="", RAILWAY_VOLUME_MOUNT_PATH=str(volume))
    assert by_itself.stdout.strip() == str(volume)
    assert "not on the volume" not in by_itself.stderr
    assert "not on the volume" in run(place, *show, RAILWAY_VOLUME_MOUNT_PATH=str(volume)).stderr
    below = run(place, *show, DATA_DIR=str(volume / "lane"), RAILWAY_VOLUME_MOUNT_PATH=str(volume))
    assert "not on the volume" not in below.stderr


@pytest.mark.parametrize(("kind", "words"), [("overlayfs", "on no volume"), ("nfs", "network"), ("ext2/ext3", "")])
def test_a_folder_on_the_wrong_file_system_is_warned_of(place, kind, words):
    """What the file system is, ``stat -f`` says; here a stand-in says it."""
    stat = place / "bin" / "stat"
    stat.parent.mkdir()
    stat.write_text(f'#!/bin/sh\n[ "$1" != -f ] || {{ echo {kind}; exit; }}\nexec /usr/bin/stat "$@"\n')
    stat.chmod(0o755)
    done = run(place, "true", PATH=f"{stat.parent}:{os.environ['PATH']}")
    assert done.returncode == 0
    assert words in done.stderr
    assert bool(done.stderr) == bool(words)


def test_secrets_that_come_as_files_become_variables_and_the_environment_goes_first(place):
    secrets = place / "secrets"
    secrets.mkdir()
    (secrets / "KRAKEN_API_KEY").write_text("from the file\n")
    (secrets / "KRAKEN_API_SECRET").write_text("from the file\n")
    (secrets / "PATH").write_text("/evil")
    (secrets / "KRAKEN_$(touch hit)").write_text("")
    show = ("sh", "-c", 'echo "$KRAKEN_API_KEY, $KRAKEN_API_SECRET, $PATH"')
    done = run(place, *show, CREDENTIALS_DIRECTORY=str(secrets), KRAKEN_API_SECRET="from the environment")
    assert done.stdout.strip() == f"from the file, from the environment, {os.environ['PATH']}"
    assert done.stderr == ""


def test_nothing_to_run_is_said(place):
    bare = subprocess.run([place / "entrypoint.sh"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert bare.returncode == 2
    assert "name a program" in bare.stderr


def test_the_program_takes_the_shells_place_and_its_exit_code_is_the_containers(place):
    assert run(place, "sh", "-c", "exit 7").returncode == 7
    command = [place / "entrypoint.sh", "sh", "-c", "echo $$"]
    with subprocess.Popen(
        command, env={**os.environ, "DATA_DIR": str(place)}, stdout=subprocess.PIPE, text=True
    ) as one:
        said, _ = one.communicate(timeout=LIMIT_S)
    assert int(said) == one.pid
