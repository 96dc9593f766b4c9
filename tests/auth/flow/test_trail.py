"""What the audit says of signing in: who did, or in whose name somebody tried, as far as it is a person of ours."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fhir_server.auth.people import accounts
from tests.auth.flow.conftest import PASSWORD, granted
from tests.http.client import Caller

LOGIN = "type=http://dicom.nema.org/resources/ontology/DCM|110114"


async def events(system: Caller, query: str) -> list[dict[str, Any]]:
    """Return the AuditEvents of logins and tokens, the oldest first."""
    answer = await system.get(f"AuditEvent?{LOGIN}&{query}&_count=50")
    assert answer.status == 200, answer.text
    return [entry["resource"] for entry in reversed(answer.json.get("entry", []))]


def said(event: dict[str, Any]) -> dict[str, str]:
    return {d["type"]: d["valueString"] for e in event["entity"] for d in e.get("detail", [])}


def people(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [agent for agent in event["agent"] if agent["requestor"]]


async def test_who_signs_in_is_the_one_who_asked(browser, app, ward, system):
    await granted(browser(), app, ward.doctor.login, ward.mine)
    name = f"Practitioner/{ward.practitioner}"
    found = {said(event).get("event"): event for event in await events(system, f"agent={name}")}
    for step in ("login", "allowed"):
        event = found[step]
        [person] = people(event)
        assert person["who"] == {"reference": name}
        assert person["type"]["coding"][0]["code"] == "humanuser"
        assert event["agent"][0]["who"]["identifier"]["value"] == app.client_id
        assert event["outcome"] == "0"
        assert said(event)["person"] == ward.doctor.id


async def test_a_wrong_password_names_who_is_known_and_no_other(browser, app, ward, system, unique):
    b = browser()
    await b.sign_in(await b.open(app.url()), ward.own.login, "not the password")
    await b.sign_in(await b.open(app.url()), f"nobody-{unique}", "not the password")
    refused = await events(system, f"agent={app.client_id}")
    assert {said(event)["event"] for event in refused} == {"login refused"}
    known, unknown = refused
    assert [each["who"] for each in people(known)] == [{"reference": f"Patient/{ward.mine}"}]
    assert (known["outcome"], known["outcomeDesc"]) == ("4", "HTTP 401")
    assert [each["who"]["identifier"]["value"] for each in people(unknown)] == [app.client_id]
    assert "person" not in said(unknown)
    for event in refused:  # a name that nobody has may be a password that was typed into the wrong field
        assert unique not in str(event).replace(app.client_id, "")


async def test_who_waits_is_named_as_well(browser, app, ward, system):
    b = browser()
    for _ in range(7):
        await b.sign_in(await b.open(app.url()), ward.own.login, "not the password")
    last = (await events(system, f"agent=Patient/{ward.mine}"))[-1]
    assert (said(last)["event"], said(last)["waits"], last["outcomeDesc"]) == ("login refused", "yes", "HTTP 429")


async def test_a_person_without_a_resource_is_named_by_the_account(browser, app, tenant, system, unique):
    account = await accounts.add(
        tenant, login=f"adm-{unique}", password=PASSWORD, roles=["administrator"], name="Kay", fhir_user=None
    )
    b = browser()
    page = await b.open(f"{app.root}/oauth2/login")
    await b.sign_in(page, account.login, PASSWORD)
    found = await events(system, f"agent:identifier={quote(account.id)}")
    [login] = [event for event in found if said(event)["event"] == "login"]
    assert [each["who"] for each in people(login)] == [
        {"identifier": {"system": f"{tenant.base}/oauth2/people", "value": account.id}}
    ]
    assert login["agent"][0]["who"]["identifier"]["value"] == "clarity-login"
