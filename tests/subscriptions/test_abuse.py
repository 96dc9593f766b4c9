"""A clinician's token that may write Subscriptions, in hands that want more by it: each thing that was tried, refused."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.auth import clients, principals
from fhir_server.auth.people import accounts
from fhir_server.auth.reach import SUBSCRIBER
from fhir_server.auth.scopes import parse_scopes
from fhir_server.settings import Settings
from fhir_server.storage.visibility import NOTHING
from fhir_server.subscriptions import author, judge
from tests.http.client import Caller, entry
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.test_people import person, wanted
from tests.subscriptions.test_topics import active

__all__ = ["person"]
HOOK = "https://attacker.example/hook"
PATCH = "application/json-patch+json"


def tag(who: str) -> dict[str, str]:
    return {"system": SUBSCRIBER, "code": who}


async def statuses(answer: Any) -> set[str]:
    return {each["response"]["status"][:3] for each in answer.json.get("entry", [])} or {str(answer.status)}


async def test_no_way_of_writing_leads_to_an_address(system: Caller, person: Any, unique: str) -> None:
    one, mine = await person(f"hook-{unique}")
    id_ = (await one.post("Subscription", wanted(mine))).id
    path = f"Subscription/{id_}"
    hook = topical.subscription("observation", HOOK) | {"id": id_}
    hook["meta"]["tag"] = [tag(mine)]
    turned = [
        {"op": "replace", "path": "/channel/type", "value": "rest-hook"},
        {"op": "add", "path": "/channel/endpoint", "value": HOOK},
    ]
    assert (await one.put(path, hook)).issue == "subscription-person"
    assert (await one.send("PATCH", path, turned, content_type=PATCH)).issue == "subscription-person"
    assert await statuses(await one.transaction(entry("PUT", path, hook))) == {"403"}
    assert await statuses(await one.transaction(entry("PUT", path, hook), kind="batch")) == {"403"}
    assert await statuses(await one.transaction(entry("POST", "Subscription", hook))) == {"403"}
    # What is off may say anything, and is judged when it is to be served.
    assert (await one.put(path, hook | {"status": "off"})).status == 200
    asked = [{"op": "replace", "path": "/status", "value": "requested"}]
    assert (await one.send("PATCH", path, asked, content_type=PATCH)).issue == "subscription-person"
    assert (await system.get(path)).json["status"] == "off"


async def test_nothing_is_put_among_what_is_anothers(person: Any, unique: str) -> None:
    """Neither beside one's own tag nor later, by any way of writing: it would be listed, and bound, by the other's app."""
    (one, mine), (other, theirs) = await person(f"plants-{unique}"), await person(f"finds-{unique}")
    both = wanted(mine)
    both["meta"]["tag"].append(tag(theirs))
    assert (await one.post("Subscription", both)).issue == "subscription-of-another"
    assert (await one.post("Subscription", both | {"status": "off"})).issue == "subscription-of-another"
    id_ = (await one.post("Subscription", wanted(mine))).id
    path = f"Subscription/{id_}"
    added = [{"op": "add", "path": "/meta/tag/-", "value": tag(theirs)}]
    assert (await one.send("PATCH", path, added, content_type=PATCH)).issue == "subscription-of-another"
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [tag(theirs)]}}]}
    assert (await one.post(f"{path}/$meta-add", meta)).issue == "subscription-of-another"
    assert await statuses(await one.transaction(entry("PUT", path, both | {"id": id_}))) == {"403"}
    assert (await other.get("Subscription")).json.get("entry", []) == []
    assert (await other.get(path)).status == 404


async def test_what_is_anothers_is_not_bound_beside_ones_own(person: Any, unique: str) -> None:
    (one, mine), (other, theirs) = await person(f"binds-{unique}"), await person(f"bound-{unique}")
    own = (await one.post("Subscription", wanted(mine))).id
    hidden = (await other.post("Subscription", wanted(theirs))).id
    made = [{"name": "id", "valueString": each} for each in (own, hidden)]
    answer = await one.post("Subscription/$get-ws-binding-token", {"resourceType": "Parameters", "parameter": made})
    nobody = [*made[:1], {"name": "id", "valueString": "nobody"}]
    same = await one.post("Subscription/$get-ws-binding-token", {"resourceType": "Parameters", "parameter": nobody})
    assert answer.status == same.status >= 400
    assert answer.text.replace(hidden, "") == same.text.replace("nobody", "")
    for path in (f"Subscription/{hidden}/$status", f"Subscription/{hidden}/$events"):
        assert (await one.get(path)).status == 404, path


async def test_who_lost_the_role_is_told_nothing_more(system: Caller, tenant: Any, person: Any, unique: str) -> None:
    _, mine = await person(f"leaves-{unique}")
    account = await accounts.add(
        tenant, login=f"leaves-{unique}", password="long enough 42", roles=["clinician"], name="L", fhir_user=mine
    )
    client = f"app-{unique}"
    await clients.add(
        tenant, name="App", scope="user/*.cruds", client_id=client, public=True, redirect_uris=["https://a.example/"]
    )
    scopes = parse_scopes("user/Subscription.cruds user/Observation.rs")
    who = await principals.principal(tenant, client, scopes, user=mine, account=account)
    assert await author.sees(tenant, who.agent, "Observation") != NOTHING
    await accounts.set_roles(tenant, account, ["administrator"])
    assert await author.sees(tenant, who.agent, "Observation") == NOTHING
    await accounts.set_roles(tenant, account, ["clinician"])
    assert await author.sees(tenant, who.agent, "Observation") != NOTHING
    await clients.remove(tenant, client)
    assert await author.sees(tenant, who.agent, "Observation") == NOTHING


async def test_one_person_has_so_many_at_most(
    person: Any, served: Settings, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "MOST", 2)
    one, mine = await person(f"many-{unique}")
    first, _ = [await active(one, wanted(mine)) for _ in range(2)]
    third = (await one.post("Subscription", wanted(mine))).id
    why = await given.until_status(one.tenant, third, "error")
    assert why is not None
    assert why.startswith("too-many")
    assert (await one.put(f"Subscription/{first}", wanted(mine) | {"id": first, "status": "off"})).status == 200
    await given.until_status(one.tenant, first, "off")
    assert (await one.put(f"Subscription/{third}", wanted(mine) | {"id": third})).status == 200
    await given.until_status(one.tenant, third, "active")
    other, theirs = await person(f"few-{unique}")
    await active(other, wanted(theirs))
