"""Consents as they stand, for `auth/consent`: what they say decides what a Visibility is, so no Visibility narrows this.

Nobody else may ask, and no caller sees what comes of it but as a condition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.storage.errors import Erased
from fhir_server.storage.reads import COLUMNS, Damaged, stored
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

TYPE = "Consent"
_CHANGED = "SELECT r.rid, r.version FROM {s}.resource r WHERE r.type = $1 AND r.version > 0 AND r.last_updated >= $2"
_THESE = f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE r.rid = ANY($1::bigint[])"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """One Consent as it stands now; `body` is None when nobody can read it, b"" when it is deleted or erased."""

    rid: int
    version: int
    patients: tuple[int, ...]
    last_updated: datetime
    body: bytes | None


async def changed(tenant: Tenant, since: datetime, known: Callable[[int], int]) -> list[Kept]:
    """Return the Consents that were written since a moment and are not of the version that is `known` of a rid.

    Only theirs are read: of what thousands have signed in the same minutes, each is opened once and not at every look.
    """
    rows = await tenant.pool.fetch(tenant.sql(_CHANGED), R4.type_id(TYPE), since)
    news = [row["rid"] for row in rows if row["version"] != known(row["rid"])]
    found: list[Kept] = []
    for at in range(0, len(news), _PAGE):
        page = await tenant.pool.fetch(tenant.sql(_THESE), news[at : at + _PAGE])
        found += [_kept(tenant, row) for row in page]
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
