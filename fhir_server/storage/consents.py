"""Consents as they stand, for `auth/consent`: what they say decides what a Visibility is, so no Visibility narrows this.

Nobody else may ask, and no caller sees what comes of it but as a condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.storage.errors import Erased
from fhir_server.storage.reads import COLUMNS, Damaged, stored
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

TYPE = "Consent"
_CHANGED = f"""
SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r
WHERE r.type = $1 AND r.version > 0 AND r.last_updated >= $2 ORDER BY r.last_updated, r.rid LIMIT $3 OFFSET $4
"""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """One Consent as it stands now; `body` is None when nobody can read it, b"" when it is deleted or erased."""

    rid: int
    version: int
    patients: tuple[int, ...]
    last_updated: datetime
    body: bytes | None


async def changed(tenant: Tenant, since: datetime) -> list[Kept]:
    """Return the Consents that were written since a moment, deletions included."""
    found: list[Kept] = []
    while True:
        args = (R4.type_id(TYPE), since, _PAGE, len(found))
        rows = await tenant.pool.fetch(tenant.sql(_CHANGED), *args)
        found += [_kept(tenant, row) for row in rows]
        if len(rows) < _PAGE:
            return found


def _kept(tenant: Tenant, row: Any) -> Kept:
    patients, body = tuple(row["patients"] or ()), None
    try:
        body = b"" if row["deleted"] else stored(tenant, row).body
    except Erased:
        body = b""
    except Damaged:
        body = None  # it denies: see auth/consent/known.py
    return Kept(row["rid"], row["version"], patients, row["last_updated"], body)
