"""Where virtual keys are kept: ``keys.json``, and ``master.key`` of which their secrets are made.

1. Every change is made under the lock of ``keys.lock`` and writes the file whole: beside it, synced, renamed into
   place. A death or power loss in between leaves the list as it was.
2. A file that cannot be read is never written over.
3. ``master.key`` is made once, before the first key. Without it, or with another, no secret can be told or checked:
   that is an error, never a new master. The list knows its master by a check that does not tell it.
4. ``KeyRing`` looks at the file's identity at every call, so a change holds from the next call on. It keeps the file
   open that it read: so no later file can have its identity.
5. What the ring cannot read is refused: it then has no key at all, says so once in the log and in ``trouble``, and
   tries again at most every RETRY_S.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sealane.core.secret import Secret
from sealane.errors import NotDurable, SealaneError, SettingsError
from sealane.gateway.keys.policy import Policy
from sealane.gateway.keys.private_files import locked, make_folder, open_to_others, put, told_trouble
from sealane.gateway.keys.virtual_key import (
    MASTER_BYTES,
    Credential,
    VirtualKey,
    check_of,
    key_fingerprint,
    new_key,
    secret_of,
    secret_text,
)

KEYS, MASTER_KEY, LOCK = "keys.json", "master.key", "keys.lock"
VERSION = 1
NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
RETRY_S = 1.0

logger = logging.getLogger("sealane.gateway")


@dataclass(frozen=True)
class _Listed:
    """What ``keys.json`` holds; ``check`` is of its master, "" before the first key."""

    keys: tuple[VirtualKey, ...] = ()
    check: str = ""


class KeyFile:
    """The virtual keys of a folder, for whoever changes them.

    Raises SettingsError for a name that cannot be, and for files that cannot be used; NotDurable where a change could
    not be stored: then nothing was changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / KEYS

    def create(
        self, name: str, account: str, policy: Policy, now_s: float, expires_s: float | None = None
    ) -> tuple[VirtualKey, str]:
        """Make a key; returns it with its secret, which is told nowhere else."""
        if not NAME.fullmatch(name.lower()):
            raise SettingsError(f"{name!r} cannot be a key's name: give 1 to 40 of a-z, 0-9, _ and -, a letter first")
        if name != name.lower():
            raise SettingsError(
                f"{name!r} cannot be a key's name: capitals are not told apart, so write {name.lower()}"
            )
        if expires_s is not None and expires_s <= now_s:
            raise SettingsError("the key would have expired already: give a time to come")
        key = VirtualKey(name, account, policy, (Credential(new_key(), 1),), now_s, expires_s)
        with self._changing():
            listed = _read(self.path)
            if any(one.name == name for one in listed.keys):
                raise SettingsError(f"there is a key {name} already, and names are not used again: choose another")
            master = self._master_for(listed)
            self._write(replace(listed, keys=(*listed.keys, key), check=check_of(master)))
        return key, secret_text(secret_of(master, key.current))

    def all(self) -> tuple[VirtualKey, ...]:
        """Every key in the order in which they were made, revoked ones too."""
        return _read(self.path).keys

    def named(self, name: str) -> VirtualKey:
        """One key; raises SettingsError that names those that there are."""
        return _named(_read(self.path), name)

    def pause(self, name: str) -> VirtualKey:
        """Refuse its calls until it is resumed."""
        return self._change(name, lambda key: replace(key, paused=True))

    def resume(self, name: str) -> VirtualKey:
        """Let its calls pass again."""
        return self._change(name, lambda key: replace(key, paused=False))

    def revoke(self, name: str, now_s: float) -> VirtualKey:
        """End it for good. It stays in the list, and its name is not used again."""
        return self._change(name, lambda key: replace(key, revoked_s=now_s))

    def rotate(self, name: str, now_s: float, grace_s: float = 0.0) -> tuple[VirtualKey, str]:
        """Give it a new key text and secret; the old ones go on for ``grace_s``."""
        if grace_s < 0:
            raise SettingsError("the grace is below 0: give how long the old key goes on, 0 for not at all")

        def turn(key: VirtualKey) -> VirtualKey:
            left = [_ending(one, now_s + grace_s) for one in key.credentials]
            going_on = [one for one in left if not one.is_over(now_s)]
            return replace(key, credentials=(*going_on, Credential(new_key(), key.current.generation + 1)))

        master = _master(self.folder, _read(self.path).check)
        key = self._change(name, turn)
        return key, secret_text(secret_of(master, key.current))

    def _change(self, name: str, change: Callable[[VirtualKey], VirtualKey]) -> VirtualKey:
        with self._changing():
            listed = _read(self.path)
            key = _named(listed, name)
            if key.revoked_s is not None:
                raise SettingsError(
                    f"key {name} was revoked, which is for good: make another with 'sealane keys create'"
                )
            changed = change(key)
            self._write(replace(listed, keys=tuple(changed if one is key else one for one in listed.keys)))
        return changed

    @contextmanager
    def _changing(self) -> Iterator[None]:
        lock = self.folder / LOCK
        try:
            make_folder(self.folder)
            with locked(lock):
                yield
        except OSError as error:
            raise NotDurable(f"Could not keep the virtual keys: {told_trouble(error, self.path, lock)}") from error

    # --- the lock held ----------------------------------------------------------------------------------------------

    def _master_for(self, listed: _Listed) -> Secret:
        path = self.folder / MASTER_KEY
        if not listed.keys and not path.exists():
            put(path, secrets.token_bytes(MASTER_BYTES))
        return _master(self.folder, listed.check)

    def _write(self, listed: _Listed) -> None:
        document = {"version": VERSION, "master": listed.check, "keys": [key.stored() for key in listed.keys]}
        put(self.path, json.dumps(document, indent=1).encode() + b"\n")


def _ending(credential: Credential, at_s: float) -> Credential:
    """The credential with an end, its own where it has an earlier one."""
    return replace(credential, until_s=at_s if credential.until_s is None else min(credential.until_s, at_s))


def _named(listed: _Listed, name: str) -> VirtualKey:
    found = next((key for key in listed.keys if key.name == name.lower()), None)
    if found is None:
        there = ", ".join(key.name for key in listed.keys)
        raise SettingsError(f"there is no key {name!r}" + (f"; there are: {there}" if there else ": none was made yet"))
    return found


def _read(path: Path) -> _Listed:
    try:
        return _parsed(path.read_bytes(), path)
    except (FileNotFoundError, NotADirectoryError):
        return _Listed()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}. Nothing was changed") from error


def _parsed(content: bytes, path: Path) -> _Listed:
    """The list in a file's content; raises SettingsError for one that another version made, or nobody."""
    try:
        document = json.loads(content)
        version = document["version"]
        if version != VERSION:
            raise SettingsError(f"it is of version {version}, and this program knows {VERSION}: use the newer one")
        keys = tuple(VirtualKey.loaded(one) for one in document["keys"])
        texts = [one.key for key in keys for one in key.credentials]
        if len(set(texts)) < len(texts) or len({key.name for key in keys}) < len(keys):
            raise SettingsError("a name or a key text is in it twice")
        return _Listed(keys, str(document["master"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SettingsError(
            f"{path} cannot be used: {error}. Nothing was changed: put back a good copy, or move it away to begin anew "
            "without any key"
        ) from None


def _master(folder: Path, check: str) -> Secret:
    """The master that made the keys of a list; raises SettingsError where it is not there or another."""
    path = folder / MASTER_KEY
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        content = b""
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    master = Secret(content)
    if len(content) != MASTER_BYTES or (check and check_of(master) != check):
        what = "is missing" if not content else "is not the one that the keys were made with"
        raise SettingsError(
            f"{path} {what}, so no secret of a virtual key can be told or checked: put back the copy that belongs to "
            f"{folder / KEYS}, or move both away and make new keys"
        )
    if open_to_others(path):
        logger.warning("%s can be read by others than its owner: chmod 600 %s", path, path)
    return master


# --- the gateway's side -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """A key as the gateway needs it at a call.

    Attributes:
        name, account, policy: of the virtual key.
        key: the key text that was used.
        secret: what its calls are signed with.
        since_s, expires_s, until_s: Unix time when it was made, expires, and ends after a rotation.
        paused: refuse its calls.
    """

    name: str
    account: str
    policy: Policy
    key: str = field(repr=False)
    secret: Secret
    since_s: float
    expires_s: float | None = None
    until_s: float | None = None
    paused: bool = False

    @property
    def fingerprint(self) -> str:
        """A stable name of the key text, for the file of its nonces."""
        return key_fingerprint(self.key)

    def is_expired(self, now_s: float) -> bool:
        """Whether its time is over."""
        return self.expires_s is not None and now_s >= self.expires_s


_Identity = tuple[int, int, int, int]


class KeyRing:
    """The virtual keys of a folder, for the gateway; used by one thread. ``trouble`` says why there are none, or ""."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, os.fspath(folder / KEYS)
        self._fd: int | None = None
        self._seen: _Identity | None = None
        self._tried_s: float | None = None
        self._held: Mapping[str, Held] = {}
        self._keys: tuple[VirtualKey, ...] = ()
        self.trouble = ""

    def find(self, api_key: str, now_s: float) -> Held | None:
        """The key with this text; None where there is none, it was revoked, or rotated out and its grace is over.

        One that is paused or expired is found: whoever asks tells the bot.
        """
        self._look(now_s)
        held = self._held.get(api_key)
        return None if held is None or (held.until_s is not None and now_s >= held.until_s) else held

    def all(self) -> tuple[VirtualKey, ...]:
        """Every key, revoked ones too; () while they cannot be read."""
        self._look(None)
        return self._keys

    def names(self) -> tuple[str, ...]:
        """The names of the keys that were not revoked."""
        return tuple(key.name for key in self.all() if key.revoked_s is None)

    def close(self) -> None:
        """Let go of the file; the next look opens it again."""
        fd, self._fd, self._seen = self._fd, None, None
        if fd is not None:
            os.close(fd)

    def _look(self, now_s: float | None) -> None:
        """Read the file again where it is another, or where it could not be read and it is time to try again."""
        try:
            facts = os.stat(self._path)  # noqa: PTH116 - at every call
            identity = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
        except OSError as error:
            identity = (0, 0, 0, error.errno or 0)
        if identity != self._seen or self._is_due(now_s):
            self._load(identity)
            self._tried_s = now_s

    def _is_due(self, now_s: float | None) -> bool:
        if not self.trouble or now_s is None:
            return False
        return self._tried_s is None or abs(now_s - self._tried_s) >= RETRY_S  # a clock that was set back is no reason

    def _load(self, identity: _Identity) -> None:
        self.close()
        self._held, self._keys, self._seen = {}, (), identity
        try:
            listed = self._read()
            self._held, self._keys = _held_of(self._folder, listed), listed.keys
        except (SealaneError, OSError) as error:
            self._refuse(str(error))
            return
        if self.trouble:
            logger.warning("the virtual keys can be read again: %s", self._path)
        self.trouble = ""

    def _read(self) -> _Listed:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return _Listed()
        with open(self._fd, "rb", closefd=False) as file:
            return _parsed(file.read(), Path(self._path))

    def _refuse(self, trouble: str) -> None:
        if trouble != self.trouble:
            logger.error("every virtual key is refused until this is mended: %s", trouble)
        self.trouble = trouble


def _held_of(folder: Path, listed: _Listed) -> dict[str, Held]:
    living = [key for key in listed.keys if key.revoked_s is None]
    if not living:
        return {}
    master = _master(folder, listed.check)
    return {one.key: _held(key, one, master) for key in living for one in key.credentials}


def _held(key: VirtualKey, one: Credential, master: Secret) -> Held:
    return Held(
        name=key.name,
        account=key.account,
        policy=key.policy,
        key=one.key,
        secret=secret_of(master, one),
        since_s=key.created_s,
        expires_s=key.expires_s,
        until_s=one.until_s,
        paused=key.paused,
    )
