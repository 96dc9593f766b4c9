"""The ids of AuditEvents that are rendered from the audit table: the row's key, encrypted, so that they tell no counts.

One row may concern several patients and is then one AuditEvent for each: a second part of the id says whose.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from fhir_server.storage.tenants import Tenant

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = int((datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) / timedelta(microseconds=1))
_ID = re.compile(r"([0-9a-f]{32})(?:-([0-9a-f]{8}))?")

_ciphers: WeakKeyDictionary[Tenant, Cipher[ECB]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class RowKey:
    """The primary key of an audit row, and the mark of the patient when it concerns several."""

    recorded: datetime
    id: int
    mark: str | None = None


def _cipher(tenant: Tenant) -> Cipher[ECB]:
    """Return the permutation of single blocks (16 bytes in, 16 out: no mode could add anything)."""
    cipher = _ciphers.get(tenant)
    if cipher is None:
        key = hashlib.sha256(b"audit-event-id" + tenant.keystore.index_secret).digest()[:16]
        cipher = _ciphers[tenant] = Cipher(AES(key), ECB())  # noqa: S305
    return cipher


def mark(tenant: Tenant, patient: int) -> str:
    """Return what tells one patient's AuditEvent of a row from another's, without the rid."""
    return f"{tenant.key(0, 'audit', str(patient)) & 0xFFFFFFFF:08x}"


def event_id(tenant: Tenant, recorded: datetime, row: int, patient: int | None) -> str:
    """Return the id of the AuditEvent of a row, for one patient of several when `patient` is given."""
    microseconds = (recorded - _EPOCH) // timedelta(microseconds=1)
    block = microseconds.to_bytes(8, "big") + row.to_bytes(8, "big")
    text = _cipher(tenant).encryptor().update(block).hex()
    return text if patient is None else f"{text}-{mark(tenant, patient)}"


def row_key(tenant: Tenant, event: str) -> RowKey | None:
    """Return the row that an id means; None when it cannot be one of ours."""
    match = _ID.fullmatch(event)
    if match is None:
        return None
    block = _cipher(tenant).decryptor().update(bytes.fromhex(match[1]))
    microseconds, row = int.from_bytes(block[:8], "big"), int.from_bytes(block[8:], "big")
    if microseconds >= _END or row >= 1 << 63:
        return None
    return RowKey(_EPOCH + timedelta(microseconds=microseconds), row, match[2])
