"""The audit trail cannot be written (disk full, right taken away, statement over its time): nothing is disclosed or changed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.http.client import Caller, entry, observation

CANARY = "Quillfeather"
_RAISE = """CREATE OR REPLACE FUNCTION {s}.audit_away() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '%s' USING errcode = '%s'; END $$"""


@pytest.fixture(params=["53100", "53200", "42501", "57014", "55P03", "25006", "58030"])
async def away(request: pytest.FixtureRequest, system: Caller) -> AsyncIterator[str]:
    """Somebody's Patient, in a database that refuses every audit row with this SQLSTATE."""
    tenant = system.tenant
    patient = (await system.post("Patient", {"resourceType": "Patient", "name": [{"family": CANARY}]})).id
    await tenant.pool.execute(tenant.sql(_RAISE) % (CANARY, request.param))
    text = "CREATE TRIGGER away BEFORE INSERT ON {s}.audit FOR EACH STATEMENT EXECUTE FUNCTION {s}.audit_away()"
    await tenant.pool.execute(tenant.sql(text))
    yield patient
    await tenant.pool.execute(tenant.sql("DROP TRIGGER away ON {s}.audit"))


async def test_every_answer_is_503_and_empty(system: Caller, away: str) -> None:
    changed = {"resourceType": "Patient", "id": away, "active": True}
    subject = {"reference": f"Patient/{away}"}
    answers = {
        "read": await system.get(f"Patient/{away}"),
        "vread": await system.get(f"Patient/{away}/_history/1"),
        "history": await system.get(f"Patient/{away}/_history"),
        "search": await system.get(f"Patient?_id={away}"),
        "absent": await system.get("Patient/nobody"),
        "create": await system.post("Observation", observation(subject=subject)),
        "update": await system.put(f"Patient/{away}", changed),
        "delete": await system.delete(f"Patient/{away}"),
        "transaction": await system.transaction(entry("PUT", f"Patient/{away}", changed)),
    }
    for name, answer in answers.items():
        assert answer.status == 503, name
        assert "retry-after" in answer.headers, name
        assert CANARY not in answer.text, name
    batch = await system.transaction(
        entry("GET", f"Patient/{away}"), entry("POST", "Observation", observation(subject=subject)), kind="batch"
    )
    assert batch.status == 503 or {each["response"]["status"][:3] for each in batch.json["entry"]} == {"503"}
    assert CANARY not in batch.text
    count = await system.tenant.pool.fetchval(
        system.tenant.sql("SELECT max(version) FROM {s}.resource WHERE fhir_id = $1"), away
    )
    assert count == 1
