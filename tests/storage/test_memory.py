"""What a process remembers of the database has an end, and forgetting it is never seen in an answer."""

from __future__ import annotations

import pytest

from fhir_server.kit import ids
from fhir_server.search.parse import parse_query
from fhir_server.storage import ident, keystore, tenants
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import standing


def created(patient: str) -> Command:
    resource = {"resourceType": "Observation", "status": "final", "subject": {"reference": f"Patient/{patient}"}}
    return Command("create", "Observation", ids.new_id(), resource, IndexRows(patients=[patient]), fresh=True)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> int:
    """A memory of twenty names."""
    monkeypatch.setattr(tenants, "_CACHED_RIDS", 20)
    return 20


async def test_creates_do_not_fill_the_memory(tenant: Tenant, unique: str, short: int) -> None:
    for _ in range(60):
        [done] = await commit(tenant, [created(unique)])
        assert len(tenant.rids) <= short
        assert tenant.rids[(done.type, done.id)] == done.rid  # the newest stay


async def test_an_update_after_forgetting_finds_its_row(tenant: Tenant, unique: str, short: int) -> None:
    made = await commit(tenant, [created(unique) for _ in range(15)])
    await commit(tenant, [created(f"{unique}-{number}") for number in range(15)])
    again = [
        Command("update", d.type, d.id, {"resourceType": d.type, "status": "final"}, IndexRows(), expected=1)
        for d in made
    ]
    assert [done.version for done in await commit(tenant, again)] == [2] * 15
    assert [await ident.known_rid(tenant, d.type, d.id) for d in made] == [d.rid for d in made]


async def test_a_standing_search_keeps_what_it_refers_to(tenant: Tenant, unique: str, short: int) -> None:
    query = [("subject", f"Patient/{unique}")]
    search = standing.Standing(parse_query("Observation", query, lenient=False, base=tenant.base))
    await commit(tenant, [created(unique)])
    await standing.look_up(tenant, iter([search]))
    before = search.known(tenant)[("Patient", unique)]
    tenant.rids.clear()
    search.settle(tenant)
    assert search.known(tenant) == {("Patient", unique): before}


async def test_the_shapes_of_statements_do_not_fill_it_either(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "_CACHED_TEXTS", 10)
    for number in range(40):
        assert tenant.sql(f"SELECT {number} FROM {{s}}.job") == f"SELECT {number} FROM {tenant.schema}.job"
    assert len(tenant._sql) <= 11


async def test_nor_do_the_values_that_are_searched_by(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "_CACHED_KEYS", 10)
    made = [tenant.key(7, "u", str(number)) for number in range(40)]
    assert made == [tenant.key(7, "u", str(number)) for number in range(40)]
    assert len(set(made)) == 40
    assert len(tenant._keys) <= 11


async def test_nor_do_ciphers(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "_CACHED", 5)
    store = keystore.Keystore(tenant.keystore._path.parent, tenant.name)
    keys = [store.allocate() for _ in range(12)]
    sealed = [store.get(key).encrypt(bytes(12), b"said", None) for key in keys]
    assert len(store._cache) == 5
    assert [store.get(key).decrypt(bytes(12), text, None) for key, text in zip(keys, sealed, strict=True)] == [
        b"said"
    ] * 12
    assert len(set(sealed)) == 12
