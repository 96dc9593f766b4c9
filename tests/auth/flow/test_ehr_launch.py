"""EHR launch: the EHR makes a handle, the app echoes it, and gets the context without asking again."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fhir_server.auth import clients
from fhir_server.auth.flow import launches
from tests.auth.flow.browser import answer
from tests.auth.flow.conftest import CALLBACK, SCOPE, App, granted, to_consent
from tests.http.client import Caller

ASKED = "launch patient/*.rs openid fhirUser"


@pytest.fixture
async def ehr(tenant, http: httpx.AsyncClient, unique: str):
    """A client that may make launches; returns how it asks for one."""
    _, secret = await clients.add(tenant, name="EHR", scope="__launch", client_id=f"ehr-{unique}")
    root = tenant.base.removesuffix("/fhir")
    form = {"grant_type": "client_credentials", "scope": "__launch"}
    token = (await http.post(f"{root}/oauth2/token", data=form, auth=(f"ehr-{unique}", secret))).json()["access_token"]

    async def ask(**body: Any) -> httpx.Response:
        return await http.post(f"{root}/oauth2/launch", json=body, headers={"Authorization": f"Bearer {token}"})

    return ask


@pytest.mark.smart(168, 170, 171, 172, 173, 174, 175, 177, 178, 352, 359, 360, 361, 362)
async def test_the_context_comes_with_the_token(browser, app, ward, ehr):
    made = await ehr(
        client_id=app.client_id, patient=ward.mine, encounter=ward.encounter, intent="review", need_patient_banner=False,
        fhirContext=[{"reference": "ImagingStudy/1"}, {"canonical": "http://x|1", "role": "https://roles.example/r"}],
    )  # fmt: skip
    assert made.status_code == 201, made.text
    said = made.json()
    launch = parse_qs(urlsplit(said["launch_url"]).query)
    assert launch == {"iss": [app.tenant.base], "launch": [said["launch"]]}
    b = browser()
    page = await to_consent(b, app, ward.doctor.login, scope=ASKED, launch=said["launch"])
    assert "Ada Mine" in page.text
    token = (await app.redeem((await b.allow(page))["code"])).json()
    assert (token["patient"], token["encounter"], token["intent"]) == (ward.mine, ward.encounter, "review")
    assert token["need_patient_banner"] is False
    assert token["fhirContext"][0] == {"reference": "ImagingStudy/1"}
    style = await app.http.get(token["smart_style_url"])
    assert style.headers["content-type"] == "application/json"
    assert style.json()["color_text"]
    assert (await app.caller(token["access_token"]).get(f"Encounter/{ward.encounter}")).status == 200


async def test_a_handle_is_used_once(browser, app, ward, ehr):
    launch = (await ehr(client_id=app.client_id, patient=ward.mine)).json()["launch"]
    first, second = browser(), browser()
    pages = [await to_consent(b, app, ward.doctor.login, scope=ASKED, launch=launch) for b in (first, second)]
    assert (await first.allow(pages[0]))["code"]
    stopped = await second.submit(pages[1], pages[1].form("consent"), decision="allow")
    assert stopped.status == 400
    assert "decided already" in stopped.text
    back = answer(await browser().open(app.url(scope=ASKED, launch=launch)))
    assert back["error"] == "invalid_request"


async def test_a_handle_runs_out(browser, app, ward, ehr, monkeypatch):
    launch = (await ehr(client_id=app.client_id, patient=ward.mine)).json()["launch"]
    later = launches.clock.now().replace(year=launches.clock.now().year + 1)
    monkeypatch.setattr(launches.clock, "now", lambda: later)
    assert answer(await browser().open(app.url(scope=ASKED, launch=launch)))["error"] == "invalid_request"


async def test_a_handle_is_for_one_app(browser, app, ward, ehr, tenant, http, unique):
    await clients.add(tenant, name="o", scope=SCOPE, client_id=f"o-{unique}", public=True, redirect_uris=[CALLBACK])
    launch = (await ehr(client_id=app.client_id, patient=ward.mine)).json()["launch"]
    other = App(tenant, http, f"o-{unique}")
    assert answer(await browser().open(other.url(scope=ASKED, launch=launch)))["error"] == "invalid_request"
    tampered = launch[:-1] + ("A" if launch[-1] != "A" else "B")
    assert answer(await browser().open(app.url(scope=ASKED, launch=tampered)))["error"] == "invalid_request"


async def test_a_handle_is_for_one_person(browser, app, ward, tenant):
    made = await launches.make(tenant, {"client_id": app.client_id, "patient": ward.mine}, person=ward.own.id)
    page = await to_consent(browser(), app, ward.doctor.login, scope=ASKED, launch=made.handle)
    assert answer(page)["error"] == "access_denied"
    assert (await to_consent(browser(), app, ward.own.login, scope=ASKED, launch=made.handle)).form("consent")


async def test_a_patient_whom_the_person_may_not_see_is_not_opened(browser, app, ward, ehr):
    launch = (await ehr(client_id=app.client_id, patient=ward.other)).json()["launch"]
    page = await to_consent(browser(), app, ward.doctor.login, scope=ASKED, launch=launch)
    back = answer(page)
    assert back["error"] == "access_denied"
    unknown = (await ehr(client_id=app.client_id, patient="nobody-ever")).json()["launch"]
    same = answer(await to_consent(browser(), app, ward.doctor.login, scope=ASKED, launch=unknown))
    assert same["error_description"] == back["error_description"]


async def test_an_encounter_of_another_patient_is_not_opened(browser, app, ward, ehr):
    launch = (await ehr(client_id=app.client_id, patient=ward.mine, encounter="another")).json()["launch"]
    page = await to_consent(browser(), app, ward.doctor.login, scope=ASKED, launch=launch)
    assert answer(page)["error"] == "access_denied"


async def test_a_launch_without_patient_asks_for_one(browser, app, ward, ehr):
    launch = (await ehr(client_id=app.client_id)).json()["launch"]
    b = browser()
    page = await to_consent(b, app, ward.doctor.login, ward.mine, scope=ASKED, launch=launch)
    assert (await app.redeem((await b.allow(page))["code"])).json()["patient"] == ward.mine


@pytest.mark.smart(159, 160, 177)
async def test_other_launch_scopes_are_granted_when_there_is_context(browser, app, ward, ehr, tenant, unique, http):
    await clients.add(
        tenant, name="i", scope=f"{SCOPE} launch/imagingstudy launch/location", client_id=f"i-{unique}", public=True,
        redirect_uris=[CALLBACK],
    )  # fmt: skip
    imaging = App(tenant, http, f"i-{unique}")
    made = await ehr(client_id=f"i-{unique}", patient=ward.mine, fhirContext=[{"reference": "ImagingStudy/1"}])
    b = browser()
    page = await to_consent(
        b,
        imaging,
        ward.doctor.login,
        scope=f"{ASKED} launch/imagingstudy?role=https://roles.example/unknown launch/location launch/patient?role=x",
        launch=made.json()["launch"],
    )
    token = (await imaging.redeem((await b.allow(page))["code"])).json()
    assert "launch/imagingstudy?role=https://roles.example/unknown" in token["scope"].split()
    assert token["fhirContext"] == [{"reference": "ImagingStudy/1"}]
    why = "left out: nothing of this kind is in context"
    assert token["dropped_scopes"] == {"launch/location": why, "launch/patient?role=x": why}


WRONG = [
    {"client_id": "nobody"},
    {"client_id": None},
    {"patient": "a/b"},
    {"patient": 1},
    {"encounter": "e"},
    {"patient": "p", "encounter": "e/../x"},
    {"need_patient_banner": "true"},
    {"intent": 1},
    {"fhirContext": {}},
    {"fhirContext": [{}]},
    {"fhirContext": [{"reference": "Patient/1"}]},
    {"fhirContext": [{"reference": "https://other.example/ImagingStudy/1"}]},
    {"fhirContext": [{"reference": "ImagingStudy/1", "role": ""}]},
    {"fhirContext": [{"reference": "ImagingStudy/1", "role": "relative"}]},
    {"fhirContext": [{"reference": "ImagingStudy/1", "other": 1}]},
    {"fhirContext": [{"reference": 5}]},
    {"fhirContext": [{"canonical": ["http://x.example/q"]}]},
    {"fhirContext": [{"identifier": "x"}]},
    {"fhirContext": [{"identifier": {"value": "x"}, "type": ["Patient"]}]},
    {"fhirContext": [{"identifier": {"value": "x"}, "type": "Nothing"}]},
    {"fhirContext": [{"identifier": {"value": "x" * 9000}}]},
    {"nonsense": 1},
]


@pytest.mark.smart(172, 178, 188, 190)
@pytest.mark.parametrize("change", WRONG, ids=str)
async def test_what_cannot_be_launched(app, ehr, change):
    made = await ehr(**({"client_id": app.client_id} | change))
    assert made.status_code == 400, made.text
    assert made.json()["error"] == "invalid_request"


@pytest.mark.smart(217)
async def test_only_a_client_with_the_right_launches(app, system: Caller, http):
    url, body = f"{app.root}/oauth2/launch", {"client_id": app.client_id}
    assert (await http.post(url, json=body)).status_code == 401
    forbidden = await http.post(url, json=body, headers=system._headers)
    assert forbidden.status_code == 403
    assert "__launch" in forbidden.json()["error_description"]
    assert (await http.post(url, content=b"[]", headers=system._headers)).status_code == 403


async def test_of_many_decisions_at_once_one_counts(browser, app, ward, ehr):
    launch = (await ehr(client_id=app.client_id, patient=ward.mine)).json()["launch"]
    b = browser()
    page = await to_consent(b, app, ward.doctor.login, scope=ASKED, launch=launch)
    form = page.form("consent")
    pages = await asyncio.gather(*(b.submit(page, form, decision="allow") for _ in range(20)))
    assert sum(done.status == 303 and "code=" in done.response.headers["location"] for done in pages) == 1


async def as_user(browser, tenant, http, login: str, unique: str) -> tuple[App, dict[str, Any]]:
    """Return the token response of somebody who uses an app that acts as an EHR."""
    client_id = f"hub-{unique}"
    await clients.add(
        tenant, name="Hub", scope=f"__launch {SCOPE}", client_id=client_id, public=True, redirect_uris=[CALLBACK]
    )
    hub = App(tenant, http, client_id)
    return hub, await granted(browser(), hub, login, scope="__launch openid fhirUser user/Patient.rs")


@pytest.mark.smart(168, 175)
async def test_who_uses_an_ehr_launches_for_themselves_alone(browser, app, ward, tenant, http, unique):
    hub, said = await as_user(browser, tenant, http, ward.doctor.login, unique)
    assert "__launch" in said["scope"].split()
    bearer = {"Authorization": f"Bearer {said['access_token']}"}
    made = await http.post(
        f"{hub.root}/oauth2/launch", json={"client_id": app.client_id, "patient": ward.mine}, headers=bearer
    )
    assert made.status_code == 201, made.text
    launch = made.json()["launch"]
    page = await to_consent(browser(), app, ward.own.login, scope=ASKED, launch=launch)
    assert "made for another person" in answer(page)["error_description"]
    back = await browser_allow(browser, app, ward.doctor.login, launch)
    assert (await app.redeem(back["code"])).json()["patient"] == ward.mine


async def browser_allow(browser, app, login: str, launch: str) -> dict[str, str]:
    own = browser()
    return await own.allow(await to_consent(own, app, login, scope=ASKED, launch=launch))


@pytest.mark.smart(217)
async def test_a_patient_launches_nothing(browser, app, ward, tenant, http, unique):
    hub, said = await as_user(browser, tenant, http, ward.own.login, unique)
    assert "__launch" not in said["scope"].split()
    bearer = {"Authorization": f"Bearer {said['access_token']}"}
    refused = await http.post(f"{hub.root}/oauth2/launch", json={"client_id": app.client_id}, headers=bearer)
    assert refused.status_code == 403
