"""The write path against a real PostgreSQL, for two tenants."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fhir_server.kit import clock, ids
from fhir_server.storage import ident, reads
from fhir_server.storage.commands import AuditRow, Command, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import ClaimTaken, VersionConflict
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def observation(patient: str, value: str = "72.50") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": f"Patient/{patient}"},
        "valueQuantity": {"value": Decimal(value)},
    }


def index(tenant: Tenant, patient: str, value: str = "72.50") -> IndexRows:
    number = Decimal(value)
    return IndexRows(
        keys=[tenant.key(7, "sc", "http://loinc.org", "8867-4")],
        references=[(9, "Patient", patient)],
        patients=[patient],
        dates=[(11, NOON, NOON)],
        numbers=[(12, 0, number, number, 5, 0, None, None)],
        strings=[(13, "plain")],
        series=[(tenant.key(7, "sc", "http://loinc.org", "8867-4"), NOON)],
    )


def create(tenant: Tenant, patient: str, **more: Any) -> Command:
    return Command(
        "create", "Observation", ids.new_id(), observation(patient), index(tenant, patient), fresh=True, **more
    )


async def narrow_rows(tenant: Tenant, rid: int) -> dict[str, int]:
    tables = ("ix_date", "ix_number", "ix_string", "series")
    return {
        table: await tenant.pool.fetchval(f"SELECT count(*) FROM {tenant.schema}.{table} WHERE rid = $1", rid)
        for table in tables
    }


def audit_row(request: str = "r") -> AuditRow:
    return AuditRow(clock.now(), 1, 201, 1, request=request)


async def test_a_create_is_read_back_as_written_and_only_by_who_may_see_it(tenant: Tenant, unique: str) -> None:
    [done] = await commit(tenant, [create(tenant, unique)], [audit_row(unique)])
    stored = await reads.read(tenant, "Observation", done.id, EVERYTHING)
    assert stored is not None
    assert stored.body == done.body
    assert b'"value":72.50' in stored.body
    assert (stored.version, stored.deleted, stored.method) == (1, False, 1)
    patient = await ident.known_rid(tenant, "Patient", unique)
    assert stored.patients == (patient,)
    assert await reads.read(tenant, "Observation", done.id, (Grant((pack(COMPARTMENT, patient),)),)) is not None
    assert await reads.read(tenant, "Observation", done.id, (Grant((pack(COMPARTMENT, patient + 1),)),)) is None
    assert await reads.read(tenant, "Observation", done.id, (Grant((), (pack(COMPARTMENT, patient),)),)) is None
    assert await reads.read(tenant, "Observation", done.id, NOTHING) is None
    [audited] = await tenant.pool.fetch(
        f"SELECT version, patients FROM {tenant.schema}.audit WHERE rid = $1 AND request = $2", done.rid, unique
    )
    assert audited["version"] == 1
    assert audited["patients"] == [patient]


async def test_a_phantom_is_not_a_resource_until_it_is_created(tenant: Tenant, unique: str) -> None:
    await commit(tenant, [create(tenant, unique)])
    assert await reads.read(tenant, "Patient", unique, EVERYTHING) is None
    [patient] = await commit(
        tenant, [Command("create", "Patient", unique, {"resourceType": "Patient"}, IndexRows(patients=[unique]))]
    )
    assert patient.version == 1
    assert patient.rid == await ident.known_rid(tenant, "Patient", unique)
    assert len(await reads.history(tenant, {"Patient": EVERYTHING}, id_=unique)) == 1


async def test_update_and_delete_keep_history_and_change_only_their_index_rows(tenant: Tenant, unique: str) -> None:
    [first] = await commit(tenant, [create(tenant, unique)])
    was, now = index(tenant, unique), index(tenant, unique, "80")
    [second] = await commit(
        tenant, [Command("update", "Observation", first.id, observation(unique, "80"), now, 1, was, http_method=2)]
    )
    assert (second.version, second.rid) == (2, first.rid)
    assert await narrow_rows(tenant, first.rid) == {"ix_date": 1, "ix_number": 1, "ix_string": 1, "series": 1}
    low = await tenant.pool.fetchval(f"SELECT lo FROM {tenant.schema}.ix_number WHERE rid = $1", first.rid)
    assert low == 80
    [third] = await commit(
        tenant, [Command("delete", "Observation", first.id, expected=2, previous=now, http_method=3)]
    )
    assert set((await narrow_rows(tenant, first.rid)).values()) == {0}
    assert third.patients == first.patients
    versions = await reads.history(tenant, {"Observation": EVERYTHING}, id_=first.id)
    assert [(v.version, v.deleted, v.method) for v in versions] == [(3, True, 3), (2, False, 2), (1, False, 1)]
    old = await reads.vread(tenant, "Observation", first.id, 1, EVERYTHING)
    assert old is not None
    assert old.body == first.body
    [again] = await commit(
        tenant, [Command("update", "Observation", first.id, observation(unique), index(tenant, unique), 3, IndexRows())]
    )
    assert again.version == 4
    assert await narrow_rows(tenant, first.rid) == {"ix_date": 1, "ix_number": 1, "ix_string": 1, "series": 1}


async def test_index_rows_of_an_older_extraction_are_found_without_help(tenant: Tenant, unique: str) -> None:
    [first] = await commit(tenant, [create(tenant, unique)])
    await commit(
        tenant, [Command("update", "Observation", first.id, observation(unique), index(tenant, unique), 1, None)]
    )
    assert await narrow_rows(tenant, first.rid) == {"ix_date": 1, "ix_number": 1, "ix_string": 1, "series": 1}


@pytest.mark.parametrize("others", [0, 3])
async def test_a_wrong_expected_version_writes_nothing(tenant: Tenant, unique: str, others: int) -> None:
    [first] = await commit(tenant, [create(tenant, unique)])
    commands = [create(tenant, unique) for _ in range(others)]
    stale = Command(
        "update",
        "Observation",
        first.id,
        observation(unique, "1"),
        index(tenant, unique, "1"),
        7,
        index(tenant, unique),
    )
    before = await tenant.pool.fetchval(f"SELECT count(*) FROM {tenant.schema}.outbox")
    with pytest.raises(VersionConflict) as refused:
        await commit(tenant, [*commands, stale], [audit_row() for _ in range(others + 1)])
    assert refused.value.position == others
    assert await tenant.pool.fetchval(f"SELECT count(*) FROM {tenant.schema}.outbox") == before
    assert await narrow_rows(tenant, first.rid) == {"ix_date": 1, "ix_number": 1, "ix_string": 1, "series": 1}


async def test_a_bundle_writes_all_or_nothing(tenant: Tenant, unique: str) -> None:
    patient = Command(
        "create", "Patient", unique, {"resourceType": "Patient"}, IndexRows(patients=[unique]), fresh=True
    )
    written = await commit(
        tenant, [patient, *(create(tenant, unique) for _ in range(20))], [audit_row() for _ in range(21)]
    )
    assert len({done.rid for done in written}) == 21
    assert all(done.patients == (written[0].rid,) for done in written)
    outbox = await tenant.pool.fetchval(
        f"SELECT count(*) FROM {tenant.schema}.outbox WHERE $1 = ANY(patients)", written[0].rid
    )
    assert outbox == 21
    one = written[3]
    mixed = [
        Command(
            "update",
            "Observation",
            one.id,
            observation(unique, "9"),
            index(tenant, unique, "9"),
            1,
            index(tenant, unique),
        ),
        Command("delete", "Observation", written[4].id, expected=1, previous=index(tenant, unique)),
        create(tenant, unique),
    ]
    changed = await commit(tenant, mixed, [audit_row() for _ in mixed])
    assert [done.version for done in changed] == [2, 2, 1]
    assert set((await narrow_rows(tenant, written[4].rid)).values()) == {0}
    taken = tenant.claim_key("Observation", unique)
    await commit(tenant, [create(tenant, unique, claims=(taken,))])
    before = await tenant.pool.fetchval(f"SELECT count(*) FROM {tenant.schema}.resource")
    with pytest.raises(ClaimTaken) as refused:
        await commit(tenant, [create(tenant, unique), create(tenant, unique, claims=(taken,))])
    assert refused.value.position == 1
    assert await tenant.pool.fetchval(f"SELECT count(*) FROM {tenant.schema}.resource") == before


async def test_twenty_racing_claims_make_one_resource_and_deleting_it_frees_the_claim(
    tenant: Tenant, unique: str
) -> None:
    claim = tenant.claim_key("Observation", "identifier", unique)
    results = await asyncio.gather(
        *(commit(tenant, [create(tenant, unique, claims=(claim,))]) for _ in range(20)), return_exceptions=True
    )
    made = [result for result in results if isinstance(result, list)]
    assert len(made) == 1
    assert sum(isinstance(result, ClaimTaken) for result in results) == 19
    await commit(tenant, [Command("delete", "Observation", made[0][0].id, expected=1, previous=index(tenant, unique))])
    await commit(tenant, [create(tenant, unique, claims=(claim,))])


async def test_racing_creates_of_one_id_make_one_version(tenant: Tenant, unique: str) -> None:
    commands = [Command("create", "Basic", unique, {"resourceType": "Basic"}, IndexRows()) for _ in range(10)]
    results = await asyncio.gather(*(commit(tenant, [command]) for command in commands), return_exceptions=True)
    assert sum(isinstance(result, list) for result in results) == 1
    assert sum(isinstance(result, VersionConflict) for result in results) == 9


async def test_bundles_that_lock_the_same_resources_in_any_order_all_end(tenant: Tenant, unique: str) -> None:
    made = await commit(tenant, [create(tenant, unique) for _ in range(8)])

    async def rewrite(order: list[int]) -> None:
        for _ in range(30):
            stored = {row.id: row for row in await reads.fetch(tenant, [done.rid for done in made])}
            commands = [
                Command(
                    "update",
                    "Observation",
                    made[i].id,
                    observation(unique),
                    index(tenant, unique),
                    stored[made[i].id].version,
                    index(tenant, unique),
                )
                for i in order
            ]
            try:
                await commit(tenant, commands)
            except VersionConflict:
                continue
            return
        raise AssertionError("never got through")

    await asyncio.gather(*(rewrite(order) for order in ([0, 1, 2, 3], [3, 2, 1, 0], [7, 0, 3, 5], [5, 4, 3, 2])))
    assert sum(row.version - 1 for row in await reads.fetch(tenant, [done.rid for done in made])) == 16


async def test_tenants_do_not_see_each_other(tenants: dict[str, Tenant], unique: str) -> None:
    one, other = tenants.values()
    [done] = await commit(one, [create(one, unique)])
    assert await reads.read(other, "Observation", done.id, EVERYTHING) is None
    assert one.key(7, "c", "x") != other.key(7, "c", "x")


async def test_what_is_stored_shows_nothing_of_the_body(tenant: Tenant, unique: str) -> None:
    person = {"resourceType": "Patient", "name": [{"family": "Quillfeather"}]}
    [done] = await commit(
        tenant, [Command("create", "Patient", unique, person, IndexRows(patients=[unique]), fresh=True)]
    )
    raw = await tenant.pool.fetchval(f"SELECT body FROM {tenant.schema}.resource WHERE rid = $1", done.rid)
    assert b"Quillfeather" not in raw
    assert msgspec.json.decode(done.body)["name"] == person["name"]
    await tenant.pool.execute(
        f"UPDATE {tenant.schema}.resource SET body = overlay(body placing '\\x00' from 30) WHERE rid = $1", done.rid
    )
    with pytest.raises(reads.Damaged):
        await reads.read(tenant, "Patient", unique, EVERYTHING)
    # Who reads everything comes by here, in whatever order tests run.
    await tenant.pool.execute(f"DELETE FROM {tenant.schema}.resource WHERE rid = $1", done.rid)
