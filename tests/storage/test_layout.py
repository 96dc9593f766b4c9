"""What of a row's keys the index holds: blends for facets, blocks for long lists, references for compartments."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.kit import ids
from fhir_server.search.extract import entry_count, extract
from fhir_server.storage import layout
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.index_keys import COMPARTMENT, block, pack
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

TARGET = R4.params("Provenance")["target"].id
SUBJECT = R4.params("Observation")["subject"].id
LOINC = "http://loinc.org"


def plain(patient: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": "urn:c", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": LOINC, "code": "8867-4"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "encounter": {"reference": f"Encounter/{patient}"},
        "effectiveDateTime": "2026-01-01T10:00:00Z",
        "valueQuantity": {"value": 70, "system": "http://unitsofmeasure.org", "code": "/min"},
        **more,
    }


async def stored(tenant: Tenant, resource: dict[str, Any]) -> Any:
    """Store a resource; return keys, how many of them the index lacks, and the rid."""
    command = Command("create", resource["resourceType"], ids.new_id(), resource, extract(tenant, resource), fresh=True)
    [written] = await commit(tenant, [command])
    text = "SELECT rid, keys, unsought FROM {s}.resource WHERE rid = $1"
    return await tenant.pool.fetchrow(tenant.sql(text), written.rid)


async def test_a_plain_observation(tenant: Tenant, unique: str) -> None:
    row = await stored(tenant, plain(unique))
    patient = tenant.rids[("Patient", unique)]
    lacks, has = row["keys"][: row["unsought"]], row["keys"][row["unsought"] :]
    index = extract(tenant, plain(unique))
    assert set(lacks) == {*index.facets, pack(COMPARTMENT, patient)}
    assert len(index.facets) == 2
    assert layout.blend(tenant, index.facets) in has
    assert pack(SUBJECT, patient) in has
    assert len(has) == 4  # code, subject, encounter, blend
    assert entry_count(index) <= 12


async def test_blends_are_found_by_code_system_and_both(tenant: Tenant, unique: str) -> None:
    param, system = R4.params("Observation")["category"].id, f"urn:{unique}"
    resource = plain(unique, category=[{"coding": [{"system": system, "code": unique}]}])
    row = await stored(tenant, resource)
    blend = layout.blend(tenant, extract(tenant, resource).facets)
    assert blend in row["keys"]
    asked = [tenant.key(param, "c", unique), tenant.key(param, "s", system), tenant.key(param, "sc", system, unique)]
    found = await layout.look_up(tenant, asked[:1], asked)
    assert found.blends == dict.fromkeys(asked, (blend,))
    assert found.codings == {asked[0]: (asked[2],)}


async def test_what_is_in_too_many_blends_is_left_out(tenant: Tenant, unique: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(layout, "MOST", 1)
    param = R4.params("Observation")["category"].id
    system = f"urn:{unique}"
    for code in ("a", "b"):
        await stored(tenant, plain(unique, category=[{"coding": [{"system": system, "code": code}]}]))
    both, one = tenant.key(param, "s", system), tenant.key(param, "sc", system, "a")
    assert set((await layout.look_up(tenant, (), [both, one])).blends) == {one}


@pytest.mark.parametrize(("count", "blocks"), [(3, False), (200, True)])
async def test_a_long_list_goes_by_blocks(tenant: Tenant, unique: str, count: int, blocks: bool) -> None:
    names = [f"{unique}-{number}" for number in range(count)]
    await commit(
        tenant,
        [Command("create", "Basic", name, {"resourceType": "Basic", "id": name}, IndexRows()) for name in names],
    )
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": f"Basic/{name}"} for name in names],
        "recorded": "2026-01-01T10:00:00Z",
        "agent": [{"who": {"reference": "Device/d"}}],
    }
    row = await stored(tenant, provenance)
    keys = {pack(TARGET, tenant.rids[("Basic", name)]) for name in names}
    has = set(row["keys"][row["unsought"] :])
    assert keys <= set(row["keys"])
    assert has.isdisjoint(keys) == blocks
    assert all(has.intersection(layout.alternatives(key)) for key in keys)
    assert not blocks or len(has) < count / 4
    assert all(layout.alternatives(key) == (key, block(key)) for key in keys)


async def test_an_amendment_is_laid_out_as_if_written_anew(tenant: Tenant, unique: str) -> None:
    def of(profile: str) -> IndexRows:
        return extract(tenant, plain(unique, meta={"profile": [profile]}))

    row = await stored(tenant, plain(unique, meta={"profile": ["urn:p:1"]}))
    was = layout.Laid([], list(row["keys"]), row["unsought"])
    now = layout.amended(tenant, was, of("urn:p:1"), of("urn:p:2"))
    rids = {name: tenant.rids[name] for name in [("Patient", unique), ("Encounter", unique)]}
    wanted = layout.laid_out(tenant, of("urn:p:2"), rids)
    assert set(now.keys[: now.unsought]) == set(wanted.keys[: wanted.unsought])
    assert set(now.keys[now.unsought :]) == set(wanted.keys[wanted.unsought :])


async def test_a_patient_is_found_by_the_compartment_itself(tenant: Tenant, unique: str) -> None:
    row = await stored(tenant, {"resourceType": "Patient", "id": unique, "gender": "female"})
    own = pack(COMPARTMENT, tenant.rids[("Patient", unique)])
    assert own in row["keys"][row["unsought"] :]


async def test_what_is_told_of_others_stays_laid_out_when_they_change_hands(tenant: Tenant, unique: str) -> None:
    def told(number: int, patient: str) -> dict[str, Any]:
        return plain(patient, id=f"{unique}-{number}")

    first = [told(number, unique) for number in range(5)]
    await commit(tenant, [Command("create", "Observation", r["id"], r, extract(tenant, r)) for r in first])
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": f"Observation/{r['id']}"} for r in first],
        "recorded": "2026-01-01T10:00:00Z",
        "agent": [{"who": {"reference": "Device/d"}}],
    }
    row = await stored(tenant, provenance)
    after = told(0, f"{unique}-other")
    index, old = extract(tenant, after), extract(tenant, first[0])
    await commit(tenant, [Command("update", "Observation", after["id"], after, index, expected=1, previous=old)])
    now = await tenant.pool.fetchrow(tenant.sql("SELECT keys, unsought FROM {s}.resource WHERE rid = $1"), row["rid"])
    people = {pack(COMPARTMENT, tenant.rids[("Patient", name)]) for name in (unique, f"{unique}-other")}
    assert now["keys"][: now["unsought"]] == row["keys"][: row["unsought"]]
    assert set(now["keys"][now["unsought"] :]) == set(row["keys"][row["unsought"] :]) | people
    assert len(row["keys"]) + 1 == len(now["keys"])
