"""Standalone launch of a public app with PKCE, over HTTP as a browser and an app do it (SMART App Launch 2.2)."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwk, jws

from fhir_server.auth.flow import codes
from tests.auth.flow.browser import answer
from tests.auth.flow.conftest import CALLBACK, granted, to_consent


@pytest.mark.smart(
    14,
    53,
    56,
    57,
    59,
    73,
    74,
    75,
    76,
    78,
    84,
    85,
    86,
    87,
    88,
    91,
    136,
    149,
    167,
    168,
    169,
    170,
    173,
    176,
    353,
    355,
    363,
    367,
)
async def test_a_doctor_opens_an_app_for_one_patient(browser, app, ward):
    page = await to_consent(browser(), app, ward.doctor.login, ward.mine)
    assert "Sleep <Diary>" in page.text
    assert "read and search everything in the record" in page.text.lower()
    assert "Ada Mine" in page.text
    b = browser()
    page = await to_consent(b, app, ward.doctor.login, ward.mine)
    back = await b.allow(page)
    assert back["to"] == CALLBACK
    assert back["state"] == "st-1 /ü+&="
    assert back["iss"] == app.root
    response = await app.redeem(back["code"])
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    said = response.json()
    assert said["token_type"] == "Bearer"
    assert said["expires_in"] == 3600
    assert re.fullmatch(r"[A-Za-z0-9\-._~+/]+=*", said["access_token"])
    assert said["patient"] == ward.mine
    assert said["need_patient_banner"] is True
    assert said["tenant"] == app.tenant.name
    assert set(said["scope"].split()) == {"launch/patient", "patient/*.rs", "openid", "fhirUser"}
    assert "refresh_token" not in said
    fhir = app.caller(said["access_token"])
    assert (await fhir.get(f"Patient/{ward.mine}")).status == 200
    assert (await fhir.get("Observation")).json["total"] == 1
    assert (await fhir.get(f"Patient/{ward.other}")).status == 404
    assert (await fhir.post("Observation", {"resourceType": "Observation"})).status == 403


@pytest.mark.smart(164)
async def test_a_patient_is_not_asked_which_patient(browser, app, ward):
    said = await granted(browser(), app, ward.own.login, scope="patient/Observation.rs")
    assert said["patient"] == ward.mine
    assert "id_token" not in said


@pytest.mark.smart(200, 205, 207, 209, 210, 358)
async def test_the_id_token_says_who(browser, app, ward):
    said = await granted(browser(), app, ward.doctor.login, ward.mine)
    keys = (await app.http.get(f"{app.root}/oauth2/jwks")).json()
    signed = jws.extract_compact(said["id_token"].encode())
    assert signed.headers()["alg"] == "RS256"
    [key] = [key for key in keys["keys"] if key["kid"] == signed.headers()["kid"]]
    assert key["kty"] == "RSA"
    done = jws.deserialize_compact(said["id_token"], jwk.RSAKey.import_key(key), algorithms=["RS256"])
    claims = json.loads(done.payload)
    assert claims["iss"] == app.root
    assert claims["aud"] == app.client_id
    assert claims["nonce"] == "n-1"
    assert claims["sub"] == ward.doctor.id
    assert claims["fhirUser"] == f"{app.tenant.base}/Practitioner/{ward.practitioner}"
    assert claims["exp"] > claims["iat"]
    fhir = app.caller(said["access_token"])
    assert (await fhir.get(claims["fhirUser"])).status == 200
    assert (await fhir.get(f"Practitioner/{ward.practitioner}/_history")).status == 200
    other = (await ward.system.post("Practitioner", {"resourceType": "Practitioner"})).id
    assert (await fhir.get(f"Practitioner/{other}")).status == 404
    assert (await fhir.get("Practitioner")).status == 403
    assert (await fhir.put(f"Practitioner/{ward.practitioner}", {"resourceType": "Practitioner"})).status == 403
    without = await granted(browser(), app, ward.doctor.login, ward.mine, scope="launch/patient patient/*.rs openid")
    assert (await app.caller(without["access_token"]).get(f"Practitioner/{ward.practitioner}")).status == 403


@pytest.mark.smart(48, 49, 354)
async def test_get_and_post_are_alike(browser, app, ward):
    b = browser()
    response = await b.http.post(f"{app.root}/oauth2/authorize", data=app.params())
    assert response.status_code == 303
    got, asked = dict(parse_qsl(urlsplit(response.headers["location"]).query)), app.params()
    assert got == asked
    page = await b._shown(response)
    page = await b.sign_in(page, ward.own.login, "correct horse battery staple")
    assert (await b.allow(page))["state"] == asked["state"]


@pytest.mark.smart(78, 89, 370)
async def test_what_is_deselected_is_not_granted(browser, app, ward):
    b = browser()
    page = await to_consent(
        b, app, ward.own.login,
        scope="launch/patient patient/Patient.rs patient/Observation.rs?category=laboratory offline_access openid",
    )  # fmt: skip
    assert "while you are away" in page.text
    assert "until you take it back" in page.text
    back = await b.allow(page, "offline_access", "patient/Patient.rs")
    said = (await app.redeem(back["code"])).json()
    assert set(said["scope"].split()) == {"launch/patient", "openid", "patient/Observation.rs?category=laboratory"}
    assert said["dropped_scopes"]["offline_access"] == "left out by the person who decided"
    assert "refresh_token" not in said
    assert (await app.caller(said["access_token"]).get(f"Patient/{ward.mine}")).status == 403


@pytest.mark.smart(115, 119)
async def test_a_scope_never_gives_more_than_the_person_has(browser, app, ward):
    said = await granted(browser(), app, ward.own.login, scope="launch/patient patient/*.cruds")
    assert "patient/*.rs" in said["scope"].split()
    assert "patient/*.cruds" not in said["scope"].split()
    assert "narrowed to what the role of the person allows" in said["dropped_scopes"]["patient/*.cruds"]
    fhir = app.caller(said["access_token"])
    assert (await fhir.delete(f"Patient/{ward.mine}")).status == 403


@pytest.mark.smart(54)
async def test_refusing_is_told_to_the_app(browser, app, ward):
    b = browser()
    back = await b.refuse(await to_consent(b, app, ward.own.login))
    assert back["error"] == "access_denied"
    assert back["state"] == "st-1 /ü+&="
    assert "code" not in back


async def test_nothing_left_ticked_is_a_refusal(browser, app, ward):
    b = browser()
    page = await to_consent(b, app, ward.own.login, scope="patient/*.rs")
    assert (await b.allow(page, "patient/*.rs"))["error"] == "access_denied"


@pytest.mark.smart(149, 167, 171, 364)
async def test_the_encounter_is_chosen(browser, app, ward):
    b = browser()
    page = await to_consent(b, app, ward.doctor.login, ward.mine, scope="launch/encounter patient/*.rs")
    page = await b.submit(page, page.form("encounter", encounter=ward.encounter))
    said = (await app.redeem((await b.allow(page))["code"])).json()
    assert (said["patient"], said["encounter"]) == (ward.mine, ward.encounter)


async def test_the_picker_finds_by_name_and_only_whom_one_may_see(browser, app, ward, unique):
    b = browser()
    page = await b.sign_in(await b.open(app.url()), ward.doctor.login, "correct horse battery staple")
    assert f"Other{unique}" not in page.text
    found = await b.submit(page, page.form("patient"), name=f"mine{unique}"[:8])
    assert f"Mine{unique}" in found.text
    nobody = await b.submit(page, page.form("patient"), name=f"Other{unique}")
    assert "Nobody whose record you may see" in nobody.text


async def test_the_next_app_needs_no_second_login(browser, app, ward):
    b = browser()
    await b.allow(await to_consent(b, app, ward.own.login))
    page = await b.open(app.url())
    assert page.form("consent")
    again = await b.open(app.url(prompt="login consent"))
    assert again.form("login")


async def test_prompt_none_shows_nothing(browser, app, ward):
    b = browser()
    assert answer(await b.open(app.url(prompt="none")))["error"] == "login_required"
    await to_consent(b, app, ward.own.login)
    assert answer(await b.open(app.url(prompt="none")))["error"] == "interaction_required"


@pytest.mark.smart(58)
async def test_a_code_holds_a_minute(browser, app, ward, monkeypatch):
    b = browser()
    back = await b.allow(await to_consent(b, app, ward.own.login))
    now = codes.clock.now()
    monkeypatch.setattr(codes.clock, "now", lambda: now.replace(year=now.year + 1))
    refused = await app.redeem(back["code"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
