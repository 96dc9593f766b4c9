"""Meta of a version changed in place: the one change that makes no version (R4 `resource-operation-meta-add.html`).

What it says is not what the resource says; labels hold for versions that exist already. The ciphertext that was read is what is
replaced, so that somebody else's change, of the same kind or a new version, is never lost: then nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.kit import json
from fhir_server.storage import codec, codings, layout
from fhir_server.storage.commands import AuditRow, IndexRows
from fhir_server.storage.errors import erased
from fhir_server.storage.keystore import KeyDestroyed
from fhir_server.storage.layout import Laid
from fhir_server.storage.reads import COLUMNS, Stored, aad, stored
from fhir_server.storage.statements import AUDIT_COLUMNS, COUNTED
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, visible_sql
from profiles.registry import R4


@dataclass(frozen=True, slots=True)
class Amendable:
    """A version as it was read, with the bytes and keys that an amendment replaces; `current` tells in which table it is."""

    stored: Stored
    sealed: bytes | None
    keys: frozenset[int]
    laid: Laid
    current: bool


_LOOK = f"""
SELECT {COLUMNS}, r.keys, r.unsought, r.fhir_id, true AS current FROM {{s}}.resource r
WHERE r.type = $1 AND r.fhir_id = $2 AND r.version > 0 AND ($3::int IS NULL OR r.version = $3) AND {{current}}
UNION ALL
SELECT {COLUMNS.replace("r.", "h.")}, h.keys, 0, r.fhir_id, false FROM {{s}}.resource r JOIN {{s}}.history h USING (rid)
WHERE r.type = $1 AND r.fhir_id = $2 AND h.version = $3 AND {{past}}
"""

_AMEND = f"""
WITH n AS (
  UPDATE {{s}}.{{table}} SET body = $3, keys = $4::bigint[]{{unsought}} WHERE rid = $1 AND version = $2 AND body = $5
  RETURNING rid, version, type, patients, keys),
{{tally}}
audit_ AS (
  INSERT INTO {{s}}.audit ({AUDIT_COLUMNS})
  SELECT $6::timestamptz, $7::smallint, $8::smallint, $9::int, $10::smallint, n.rid, n.version, n.patients, $11::text, $12::text,
    $13::bytea FROM n)
SELECT rid FROM n
"""


_TALLY = f"""tally_ AS (
  INSERT INTO {{s}}.tally_new (type, key, n) SELECT type, key, sum(n) FROM (
    SELECT o.type, k.key, -1 AS n FROM {{s}}.resource o JOIN n USING (rid), {COUNTED.format("o.keys")}
    UNION ALL SELECT n.type, k.key, 1 FROM n, {COUNTED.format("n.keys")}) t GROUP BY type, key HAVING sum(n) <> 0),
"""


async def look(tenant: Tenant, type_: str, id_: str, version: int | None, visibility: Visibility) -> Amendable | None:
    """Return a version, the current one unless a number is given; None when absent or not visible."""
    args: list[Any] = [R4.type_id(type_), id_, version]
    current, past = visible_sql("r", visibility, args), visible_sql("h", visibility, args, current="r")
    text = _LOOK.replace("{current}", current).replace("{past}", past)
    row = await tenant.pool.fetchrow(tenant.sql(text), *args)
    if row is None:
        return None
    laid = Laid(list(row["patients"] or ()), list(row["keys"] or ()), row["unsought"])
    return Amendable(stored(tenant, row), row["body"], frozenset(row["keys"] or ()), laid, row["current"])


async def amend(
    tenant: Tenant,
    found: Amendable,
    resource: dict[str, Any],
    old: IndexRows,
    new: IndexRows,
    audit: AuditRow,
) -> bool:
    """Replace body and keys of a version; False, with nothing written, when it is not what was read any more.

    `old` and `new` are the index entries of what was read and of what replaces it; they differ in hashed keys only.
    """
    await codings.remember(tenant, new.codings)
    await layout.remember(tenant, [new])
    row = found.stored
    try:
        cipher = tenant.keystore.get(row.key_id)
    except KeyDestroyed:
        raise erased(row.version) from None
    sealed = codec.encode(json.encode(resource), cipher, aad(tenant, row.type, row.id, row.version))
    text = _AMEND.replace("{table}", "resource" if found.current else "history")
    text = text.replace("{tally}", _TALLY if found.current else "")
    laid = layout.amended(tenant, found.laid, old, new)
    text = text.replace("{unsought}", f", unsought = {laid.unsought}" if found.current else "")
    replaced = (row.rid, row.version, sealed, laid.keys, found.sealed)
    done = await tenant.pool.fetchval(tenant.sql(text), *replaced, *audit.beside())
    return done is not None
