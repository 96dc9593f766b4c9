"""Data keys, kept outside the database and its backups, so that destroying one also holds for yesterday's dump.

A tenant's keys are one file of 64-byte slots, a key's id its slot number: `state(1) pad(3) nonce(12) wrapped key(32) tag(16)`,
wrapped by AES-256-GCM under the tenant's master key (a file of its own, 0600). Slot 0 is the tenant's secret, from which the
index secret and the sealing key derive. Keys are made in runs of 64, with one fsync, before anything is encrypted by them.
Several processes share the file: appends hold a lock, an unknown id makes a reader look again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import weakref
from collections import OrderedDict
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fhir_server.kit.files import write_once

_SLOT = 64
_RUN = 64
_CACHED = 5_000
"""Ciphers that are kept, 2.6 kB each; to make one again is to read 64 bytes and to decrypt them."""
_LIVE, _DESTROYED = b"K", b"\0"


class KeyMissing(Exception):
    """The key is not in this key store, or cannot be unwrapped: an incomplete or foreign key folder."""


class KeyDestroyed(KeyMissing):
    """The key was destroyed on purpose: what it encrypted is erased."""


class InvalidSeal(Exception):
    """Sealed data that was not sealed here, or was changed."""


class Keystore:
    """The data keys of one tenant."""

    def __init__(self, folder: Path, tenant: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        master, self._path = folder / f"{tenant}.master", folder / f"{tenant}.keys"
        if not master.exists():
            write_once(master, secrets.token_bytes(32))
        self._wrap = AESGCM(master.read_bytes())
        self._tenant = tenant.encode()
        self._cache: OrderedDict[int, AESGCM] = OrderedDict()
        self._spare: list[int] = []
        if not self._path.exists():
            write_once(self._path, self._slot(0))
        self._file = os.open(self._path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        secret = self._unwrap(0)
        self.index_secret = self._derive(secret, b"index")
        self._seal = AESGCM(self._derive(secret, b"seal"))
        self._secret = secret

    @staticmethod
    def _derive(secret: bytes, purpose: bytes) -> bytes:
        return HKDF(SHA256(), 32, None, b"clarity " + purpose).derive(secret)

    def derived(self, purpose: bytes, name: str) -> bytes:
        """Return a secret for others to hold, of 32 bytes: the same for the same purpose and name, and it tells nothing else."""
        return self._derive(self._secret, purpose + b" " + name.encode())

    def _aad(self, key_id: int) -> bytes:
        return self._tenant + struct.pack(">I", key_id)

    def _slot(self, key_id: int) -> bytes:
        nonce = secrets.token_bytes(12)
        return _LIVE + b"\0\0\0" + nonce + self._wrap.encrypt(nonce, secrets.token_bytes(32), self._aad(key_id))

    def _unwrap(self, key_id: int) -> bytes:
        slot = os.pread(self._file, _SLOT, key_id * _SLOT)
        if self.destroyed(key_id):
            raise KeyDestroyed(f"data key {key_id} was destroyed")
        if len(slot) != _SLOT or slot[:1] != _LIVE:
            raise KeyMissing(f"data key {key_id} is not in the key store")
        try:
            return self._wrap.decrypt(slot[4:16], slot[16:], self._aad(key_id))
        except InvalidTag as error:
            raise KeyMissing(f"data key {key_id} was wrapped by another master key") from error

    def get(self, key_id: int) -> AESGCM:
        """Return the cipher of a data key; KeyDestroyed when any process has destroyed it, KeyMissing when it is not here."""
        cipher = self._cache.get(key_id)
        # A remembered key is asked for again on disk (one byte): another process may have destroyed it since.
        if cipher is None or os.pread(self._file, 1, key_id * _SLOT) != _LIVE:
            self._cache.pop(key_id, None)
            cipher = self._cache[key_id] = AESGCM(self._unwrap(key_id))
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return cipher

    def _append_run(self) -> None:
        with self._path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            first = file.seek(0, os.SEEK_END) // _SLOT  # a torn slot of a crash is overwritten
            file.seek(first * _SLOT)
            file.write(b"".join(self._slot(key_id) for key_id in range(first, first + _RUN)))
            file.flush()
            os.fsync(file.fileno())
        self._spare = list(range(first + _RUN - 1, first - 1, -1))

    def allocate(self) -> int:
        """Return the id of a data key that nobody uses yet; it is on disk before it is returned."""
        if not self._spare:
            self._append_run()
        return self._spare.pop()

    def destroy(self, key_id: int) -> None:
        """Overwrite a data key for ever; what it encrypted cannot be read again, from any backup."""
        with self._path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(key_id * _SLOT)
            file.write(_DESTROYED * _SLOT)
            file.flush()
            os.fsync(file.fileno())
        self._cache.pop(key_id, None)

    def destroyed(self, key_id: int) -> bool:
        """Tell whether a data key was destroyed, by whatever process."""
        return os.pread(self._file, _SLOT, key_id * _SLOT) == _DESTROYED * _SLOT

    def seal(self, data: bytes, aad: bytes = b"") -> bytes:
        """Encrypt something small under the tenant's own key (cursors, audit details)."""
        nonce = secrets.token_bytes(12)
        return nonce + self._seal.encrypt(nonce, data, aad)

    def open(self, sealed: bytes, aad: bytes = b"") -> bytes:
        """Return what `seal` was given; InvalidSeal when anything was changed."""
        try:
            return self._seal.decrypt(sealed[:12], sealed[12:], aad)
        except (InvalidTag, ValueError) as error:
            raise InvalidSeal("not sealed by this tenant's key, or changed since") from error
