"""Group commit: whatever was acknowledged is there, whatever could not be written was refused (security.md §3.3)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime

import asyncpg
import pytest

from fhir_server.audit import record
from fhir_server.audit.codes import BY_NAME, BY_NUMBER, KINDS
from fhir_server.audit.partitions import ensure_partitions
from fhir_server.audit.record import audit_row, door_event, failure_row, token_event, write_audit
from fhir_server.context import ANONYMOUS, RequestContext
from fhir_server.errors import Unavailable
from fhir_server.kit import clock, ids
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.commit import commit


async def recorded(tenant, *requests):
    rows = await tenant.pool.fetch(
        tenant.sql("SELECT * FROM {s}.audit WHERE request = ANY($1::text[]) ORDER BY id"), list(requests)
    )
    return [dict(row) for row in rows]


async def test_a_row_says_all_that_it_was_given(acting, tenant):
    ctx = await acting()
    row = audit_row(
        ctx, "search-type", 200, type="Observation", rid=7, version=3, patients=(5, 4, 5), query="Observation?code=x"
    )
    await write_audit(tenant, [row])
    [found] = await recorded(tenant, ctx.request_id)
    assert found["recorded"] == row.recorded
    assert BY_NUMBER[found["interaction"]].name == "search-type"
    assert (found["status"], found["rid"], found["version"], found["patients"]) == (200, 7, 3, [4, 5])
    assert found["address"] == "192.0.2.7"
    assert found["agent"] == ctx.principal.agent
    assert b"code=x" not in found["detail"]
    assert b"code=x" in tenant.keystore.open(found["detail"], record.SEAL)


async def test_nothing_to_write(tenant):
    await write_audit(tenant, [])


async def test_what_comes_from_outside_is_cleaned(tenant):
    ctx = RequestContext(tenant, ANONYMOUS, "a\nb\x00c\x1b[31m" + "x" * 500, tenant.base, "10.0.0.1\r\nX: y")
    row = audit_row(ctx, "read", 401)
    assert row.request.startswith("abc[31mxxx")
    assert len(row.request) <= 64
    assert row.address == "10.0.0.1X: y"
    assert row.agent == 0


async def test_an_interaction_without_a_code_is_an_operation(acting):
    assert BY_NUMBER[audit_row(await acting(), "whatever", 200).interaction].name == "operation"


def test_numbers_are_unique_and_never_change():
    assert len(BY_NAME) == len(BY_NUMBER) == len(KINDS)
    # Rows of years ago hold these numbers: a test that must be extended, never edited.
    assert [(kind.number, kind.name) for kind in KINDS][:16] == [
        (1, "read"), (2, "vread"), (3, "search-type"), (4, "search-system"), (5, "create"), (6, "update"), (7, "patch"),
        (8, "delete"), (9, "history-instance"), (10, "history-type"), (11, "history-system"), (12, "transaction"),
        (13, "batch"), (14, "operation"), (15, "capabilities"), (16, "token"),
    ]  # fmt: skip


async def test_a_thousand_at_once_share_a_few_commits(acting, tenant, monkeypatch):
    ctx = await acting()
    statements = 0
    insert = record._insert

    async def counted(tenant, rows):
        nonlocal statements
        statements += 1
        return await insert(tenant, rows)

    monkeypatch.setattr(record, "_insert", counted)
    rows = [audit_row(ctx, "read", 200, type="Patient", rid=number) for number in range(1000)]
    await asyncio.gather(*(write_audit(tenant, [row]) for row in rows))
    found = await recorded(tenant, ctx.request_id)
    assert Counter(row["rid"] for row in found) == Counter(range(1000))
    assert statements <= 10


async def test_several_rows_of_one_request_stand_together(acting, tenant):
    ctx = await acting()
    await write_audit(tenant, [audit_row(ctx, "read", 200, rid=number) for number in range(5)])
    assert [row["rid"] for row in await recorded(tenant, ctx.request_id)] == [0, 1, 2, 3, 4]


async def test_what_cannot_be_written_is_refused_and_the_next_is_written(acting, tenant, monkeypatch):
    ctx = await acting()

    async def broken(tenant, rows):
        raise asyncpg.DiskFullError("could not extend file")

    with monkeypatch.context() as patch:
        patch.setattr(record, "_execute", broken)
        tries = [write_audit(tenant, [audit_row(ctx, "read", 200)]) for _ in range(20)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert outcomes[0].headers["Retry-After"]
    assert not await recorded(tenant, ctx.request_id)
    await write_audit(tenant, [audit_row(ctx, "read", 200)])
    assert len(await recorded(tenant, ctx.request_id)) == 1


async def test_an_unforeseen_fault_leaves_nobody_waiting(acting, tenant, monkeypatch):
    ctx = await acting()

    async def fault(tenant, rows):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(record, "_insert", fault)
        failing = asyncio.create_task(write_audit(tenant, [audit_row(ctx, "read", 200)]))
        await asyncio.sleep(0)
        writer = record._writers[tenant].task
        with pytest.raises(Unavailable):
            await failing
        with pytest.raises(RuntimeError):
            await writer
    await write_audit(tenant, [audit_row(ctx, "read", 200)])


async def test_a_cancelled_request_is_recorded_all_the_same(acting, tenant):
    """An event without an answer is allowed, an answer without an event is not."""
    ctx = await acting()
    tasks = [
        asyncio.create_task(write_audit(tenant, [audit_row(ctx, "read", 200, rid=number)])) for number in range(20)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 10
    await write_audit(tenant, [audit_row(ctx, "read", 200, rid=99)])
    assert {row["rid"] for row in await recorded(tenant, ctx.request_id)} == {*range(20), 99}


KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%.audit (%' AND random() < 0.5
AND pid <> pg_backend_pid() AND datname = current_database()
"""


async def test_nothing_acknowledged_is_lost_when_connections_are_killed(acting, tenant, database_url):
    """Fault injection: backends die under the load; every acknowledged row is there, and none twice."""
    ctx = await acting()
    chance = random.Random(7)
    acknowledged: set[int] = set()

    async def request(number: int) -> None:
        await asyncio.sleep(chance.random() * 0.3)
        try:
            await write_audit(tenant, [audit_row(ctx, "read", 200, rid=number)])
        except Unavailable:
            return
        acknowledged.add(number)

    async def killer() -> None:
        own = await asyncpg.connect(database_url)
        for _ in range(30):
            await asyncio.sleep(0.01)
            await own.execute(KILL)
        await own.close()

    await asyncio.gather(killer(), *(request(number) for number in range(400)))
    await asyncio.sleep(0.2)  # the pool learns of its dead connections
    found = Counter(row["rid"] for row in await recorded(tenant, ctx.request_id))
    assert acknowledged <= found.keys()
    assert max(found.values()) == 1
    assert len(acknowledged) > 0


# ---- the table ----


async def test_nobody_changes_what_was_recorded(acting, tenant):
    ctx = await acting()
    await write_audit(tenant, [audit_row(ctx, "read", 200)])
    for statement in ("UPDATE {s}.audit SET status = 200", "DELETE FROM {s}.audit"):
        with pytest.raises(asyncpg.RaiseError, match="never changed"):
            await tenant.pool.execute(tenant.sql(statement))


async def test_a_month_without_a_partition_is_made_by_who_needs_it(acting, tenant):
    ctx = await acting()
    row = audit_row(ctx, "read", 200)
    row.recorded = datetime(2031, 5, 6, tzinfo=UTC)
    with pytest.raises(asyncpg.CheckViolationError):
        await record._execute(tenant, [row])
    await asyncio.gather(*(ensure_partitions(tenant, row.recorded) for _ in range(5)))
    await write_audit(tenant, [row])
    name = await tenant.pool.fetchval(
        tenant.sql("SELECT tableoid::regclass::text FROM {s}.audit WHERE request = $1"), ctx.request_id
    )
    assert name.endswith("audit_2031_05")


async def test_the_writer_makes_this_months_partition_itself(acting, tenant, monkeypatch):
    ctx = await acting()
    future = datetime(2032, 2, 28, 23, 59, 59, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: future)
    await write_audit(tenant, [audit_row(ctx, "read", 200)])
    assert len(await recorded(tenant, ctx.request_id)) == 1


async def test_a_row_takes_at_most_350_bytes(acting, tenant):
    """Heap and all five indexes, of ordinary rows: one patient, no query; measured on rows of their own month."""
    ctx = await acting()
    chance = random.Random(1)
    month = datetime(2033, 3, 1, tzinfo=UTC)
    await ensure_partitions(tenant, month)
    rows = []
    for number in range(20_000):
        patient = 10**10 + chance.randrange(2000)
        row = audit_row(
            ctx, "read", 200, type="Observation", rid=10**10 + chance.randrange(10**6), version=1, patients=(patient,)
        )
        row.recorded = datetime.fromtimestamp(month.timestamp() + number, UTC)
        row.request, row.agent = ids.request_id(), chance.randrange(1, 50)
        rows.append(row)
    await record._execute(tenant, rows)
    size = await tenant.pool.fetchval(f"SELECT pg_total_relation_size('{tenant.schema}.audit_2033_03')")
    print(f"\naudit: {size / len(rows):.0f} bytes a row")
    assert size / len(rows) <= 350


# ---- writes: in the transaction of the change ----


async def test_a_write_is_recorded_in_its_own_transaction(acting, tenant):
    ctx = await acting()
    id_ = ids.new_id()
    command = Command("create", "Patient", id_, {"resourceType": "Patient"}, IndexRows(patients=[id_]))
    [done] = await commit(tenant, [command], [audit_row(ctx, "create", 201, type="Patient")])
    [found] = await recorded(tenant, ctx.request_id)
    assert (found["rid"], found["version"], found["patients"]) == (done.rid, 1, [done.rid])


# ---- refusals ----


async def test_a_refusal_names_the_patient_that_was_claimed(acting, tenant):
    ctx = await acting()
    a, b = ids.new_id(), ids.new_id()
    about = IndexRows(patients=[a])
    commands = [
        Command("create", "Patient", a, {"resourceType": "Patient"}, IndexRows(patients=[a])),
        Command("create", "Observation", b, {"resourceType": "Observation"}, about),
    ]
    person, observation = await commit(tenant, commands)
    row = await failure_row(ctx, "read", 404, type="Observation", id=b, query=f"Observation/{b}")
    assert (row.rid, row.patients, row.status) == (observation.rid, [person.rid], 404)
    for type_, id_ in (("Observation", "never-heard-of"), ("Nonsense", "x"), (None, None), ("Observation", None)):
        row = await failure_row(ctx, "read", 404, type=type_, id=id_)
        assert (row.rid, row.patients) == (None, None)


async def test_strangers_are_recorded_but_cannot_fill_the_disk(tenant, unique, monkeypatch):
    monkeypatch.setattr(record, "STRANGERS_A_SECOND", 3)
    now = clock.monotonic() + 1000
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    for _ in range(10):
        await door_event(tenant, "read", request=unique, address="192.0.2.99", type="Patient", id="x")
    monkeypatch.setattr(clock, "monotonic", lambda: now + 2)
    await door_event(tenant, "read", request=unique, address="192.0.2.99")
    rows = await recorded(tenant, unique)
    assert [(row["status"], row["agent"]) for row in rows] == [(401, 0)] * 4
    assert b'"7"' in tenant.keystore.open(rows[-1]["detail"], record.SEAL)


async def test_token_events(tenant, unique):
    await token_event(tenant, agent=0, status=400, request=unique, address=None, detail={"error": "invalid_client"})
    [found] = await recorded(tenant, unique)
    assert BY_NUMBER[found["interaction"]].name == "token"
    assert b"invalid_client" in tenant.keystore.open(found["detail"], record.SEAL)
