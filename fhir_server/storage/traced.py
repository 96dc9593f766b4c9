"""What is told of other resources belongs where they belong: a Provenance to the patients of its targets (R4 `provenance.html`).

R4 puts a Provenance into a patient's compartment when it targets the Patient; what most of them target is an Observation or
a RiskAssessment. Their patients are added when it is committed, and again when a target comes later or changes hands.
References are arithmetic among the keys, so all of that is SQL: no body is opened. No caller is behind these statements, and no
content leaves them; what a Provenance shows to whom is `auth/traced.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fhir_server.storage import ident
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.index_keys import COMPARTMENT, MOST_RID, pack
from fhir_server.storage.layout import alternatives
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

TYPE: Final = "Provenance"
PARAM: Final = R4.params(TYPE)["target"].id
"""The parameter number of the references to what it is told of."""

_PATIENTS = "SELECT rid, patients FROM {s}.resource WHERE rid = ANY($1::bigint[]) AND patients IS NOT NULL"
_TELLING = """SELECT r.rid FROM {s}.resource r
WHERE r.type = $1 AND r.keys[r.unsought + 1:] && $2::bigint[] AND r.keys && $3::bigint[]"""


def again_sql(table: str, which: str, *, laid_out: bool) -> str:
    """Return the statement that gives Provenances the patients that their targets have now.

    `table` is resource or history, `which` says of which rows `p`. Of rows that are `laid_out` the first keys are not in the index
    (`layout.py`) and stay the first; compartments are never among those.
    """
    kept, keys = ("p.keys[1:p.unsought] || ", "p.keys[p.unsought + 1:]") if laid_out else ("", "p.keys")
    return f"""
UPDATE {{s}}.{table} p SET patients = f.patients, keys = f.keys
FROM (
  SELECT p.rid, p.version, n.patients, {kept}ARRAY(SELECT k FROM unnest({keys}) k
    WHERE k NOT BETWEEN {pack(COMPARTMENT, 0)} AND {pack(COMPARTMENT, MOST_RID)}
    UNION SELECT {pack(COMPARTMENT, 0)} | of FROM unnest(n.patients) of ORDER BY 1) AS keys
  FROM {{s}}.{table} p, LATERAL (
    SELECT array_agg(DISTINCT of ORDER BY of) AS patients FROM (
      SELECT CASE WHEN t.type = {R4.type_id("Patient")} THEN ARRAY[t.rid] ELSE t.patients END AS whose
      FROM unnest(p.keys) k JOIN {{s}}.resource t ON t.rid = k & {MOST_RID}
      WHERE k BETWEEN {pack(PARAM, 0)} AND {pack(PARAM, MOST_RID)}) found, unnest(found.whose) of) n
  WHERE p.type = {R4.type_id(TYPE)} AND {which}) f
WHERE p.rid = f.rid AND p.version = f.version AND p.patients IS DISTINCT FROM f.patients
"""


def targets(index: IndexRows | None) -> list[ident.Name]:
    """Return what a resource is told of, but for Patients, in whose compartment it is by itself."""
    if index is None or not index.traces:
        return []
    return [(type_, id_) for param, type_, id_ in index.references if param == PARAM and type_ != "Patient"]


async def patients_of(tenant: Tenant, rids: Iterable[int]) -> dict[int, list[int]]:
    """Return the patients of those resources that are some patient's."""
    wanted = list(rids)
    rows = await tenant.pool.fetch(tenant.sql(_PATIENTS), wanted) if wanted else []
    return {row["rid"]: list(row["patients"]) for row in rows}


async def beside(
    tenant: Tenant,
    told: Mapping[Any, IndexRows | None],
    rids: Mapping[ident.Name, int],
    commands: Sequence[Command] = (),
) -> dict[Any, list[int]]:
    """Return the patients of what each of `told` is told of: as they are about to stand (`commands`), else as they stand."""
    named = {at: found for at, index in told.items() if (found := targets(index))}
    if not named:
        return {}
    coming = {
        (each.type, each.id): [rids[("Patient", id_)] for id_ in each.index.patients]
        for each in commands
        if each.index is not None
    }
    standing = await patients_of(tenant, {rids[name] for of in named.values() for name in of if name not in coming})
    return {
        at: sorted({rid for name in of for rid in (coming[name] if name in coming else standing.get(rids[name], []))})
        for at, of in named.items()
    }


async def telling(tenant: Tenant, rids: Iterable[int]) -> list[int]:
    """Return what is told of these resources."""
    keys = [pack(PARAM, rid) for rid in rids]
    sought = [at for key in keys for at in alternatives(key)]
    rows = await tenant.pool.fetch(tenant.sql(_TELLING), R4.type_id(TYPE), sought, keys) if keys else []
    return [row["rid"] for row in rows]


async def again(connection: Any, tenant: Tenant, rids: Sequence[int]) -> None:
    """Give what is told of others the patients that those have now."""
    text = again_sql("resource", "p.rid = ANY($1::bigint[])", laid_out=True)
    await connection.execute(tenant.sql(text), list(rids))
