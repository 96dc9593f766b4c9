"""Introspection (RFC 7662, SMART "Token introspection"), revocation (RFC 7009), cross-origin requests."""

from __future__ import annotations

import time

import httpx
import pytest

from fhir_server.auth import clients, cors
from tests.auth.flow.conftest import CALLBACK, SCOPE, App, granted
from tests.http.client import caller

OFFLINE = "launch/patient patient/*.rs offline_access openid fhirUser"


@pytest.fixture
async def asker(tenant, http: httpx.AsyncClient, unique: str):
    """A backend service that may introspect every token."""
    _, secret = await clients.add(tenant, name="RS", scope="__introspect", client_id=f"rs-{unique}")
    root = tenant.base.removesuffix("/fhir")
    form = {"grant_type": "client_credentials", "scope": "__introspect"}
    token = (await http.post(f"{root}/oauth2/token", data=form, auth=(f"rs-{unique}", secret))).json()["access_token"]

    async def ask(text: str) -> dict:
        answer = await http.post(
            f"{root}/oauth2/introspect", data={"token": text}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()

    return ask


@pytest.mark.smart(99, 269, 271, 272, 273, 274, 275, 276, 277, 278, 279, 280, 282, 283)
async def test_what_an_active_token_means(browser, app, ward, asker):
    token = await granted(browser(), app, ward.doctor.login, ward.mine, scope=OFFLINE)
    said = await asker(token["access_token"])
    assert said["active"] is True
    assert (said["scope"], said["client_id"]) == (token["scope"], app.client_id)
    assert abs(said["exp"] - time.time() - token["expires_in"]) < 60
    assert isinstance(said["exp"], int)
    assert (said["iss"], said["sub"]) == (app.root, ward.doctor.id)
    assert said["fhirUser"] == f"{app.tenant.base}/Practitioner/{ward.practitioner}"
    for name in ("patient", "need_patient_banner", "smart_style_url", "tenant"):
        assert said[name] == token[name]
    refresh = await asker(token["refresh_token"])
    assert (refresh["active"], refresh["client_id"]) == (True, app.client_id)


@pytest.mark.smart(271, 272)
async def test_what_is_not_active_is_only_that(browser, app, ward, asker, tenants, http):
    token = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    used = token["refresh_token"]
    await app.refresh(used)
    [stranger] = [each for name, each in tenants.items() if name != app.tenant.name]
    foreign = (await caller(http, stranger))._headers["Authorization"].split()[1]
    for text in ("guessed", "a.b.c", used, foreign, token["access_token"][:-2] + "xx", token["id_token"]):
        assert await asker(text) == {"active": False}


async def test_a_confidential_client_asks_about_its_own_only(browser, app, ward, http, tenant, unique):
    _, secret = await clients.add(tenant, name="s", scope=SCOPE, client_id=f"s-{unique}", redirect_uris=[CALLBACK])
    mine = App(tenant, http, f"s-{unique}", secret)
    own = await granted(browser(), mine, ward.own.login, scope="patient/*.rs")
    other = await granted(browser(), app, ward.own.login, scope="patient/*.rs")
    assert (await mine.post("introspect", {"token": own["access_token"]})).json()["active"] is True
    assert (await mine.post("introspect", {"token": other["access_token"]})).json() == {"active": False}
    public = await app.post("introspect", {"token": own["access_token"], "client_id": app.client_id})
    assert public.status_code == 400
    assert (await app.post("introspect", {"token": own["access_token"]})).status_code == 400


@pytest.mark.smart(282)
async def test_a_bearer_without_the_right_does_not_introspect(app, system, http):
    answer = await http.post(f"{app.root}/oauth2/introspect", data={"token": "x"}, headers=system._headers)
    assert answer.status_code == 403
    assert "__introspect" in answer.json()["error_description"]


# ---- revocation ----


async def test_revoking_a_refresh_token_ends_everything(browser, app, ward, asker):
    token = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    fhir = app.caller(token["access_token"])
    assert (await fhir.get(f"Patient/{ward.mine}")).status == 200
    done = await app.post("revoke", {"token": token["refresh_token"], "client_id": app.client_id})
    assert done.status_code == 200
    assert (await fhir.get(f"Patient/{ward.mine}")).status == 401
    assert (await app.refresh(token["refresh_token"])).status_code == 400
    assert await asker(token["access_token"]) == {"active": False}


async def test_revoking_an_access_token_ends_it_alone(browser, app, ward):
    token = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    done = await app.post(
        "revoke", {"token": token["access_token"], "client_id": app.client_id, "token_type_hint": "access_token"}
    )
    assert done.status_code == 200
    assert (await app.caller(token["access_token"]).get(f"Patient/{ward.mine}")).status == 401
    assert (await app.refresh(token["refresh_token"])).status_code == 200


async def test_revoking_anothers_token_does_nothing_and_says_so_to_nobody(browser, app, ward, http, tenant, unique):
    await clients.add(tenant, name="o", scope=SCOPE, client_id=f"o-{unique}", public=True, redirect_uris=[CALLBACK])
    token = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    other = App(tenant, http, f"o-{unique}")
    for text in (token["access_token"], token["refresh_token"], "guessed", "a.b.c"):
        assert (await other.post("revoke", {"token": text, "client_id": other.client_id})).status_code == 200
    assert (await app.caller(token["access_token"]).get(f"Patient/{ward.mine}")).status == 200
    assert (await app.refresh(token["refresh_token"])).status_code == 200


async def test_revoking_needs_a_client_and_a_token(app):
    assert (await app.post("revoke", {"token": "x"})).json()["error"] == "invalid_client"
    assert (await app.post("revoke", {"client_id": app.client_id})).json()["error"] == "invalid_request"


# ---- scripts of other origins ----

ORIGIN, STRANGER = "https://app.example", "https://evil.example"


@pytest.mark.smart(16)
async def test_any_origin_reads_discovery_and_metadata(app, http):
    for path in ("/.well-known/smart-configuration", "/metadata"):
        answer = await http.get(app.tenant.base + path, headers={"Origin": STRANGER})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    for path in ("/fhir/.well-known/smart-configuration", "/.well-known/openid-configuration", "/oauth2/jwks"):
        asked = {"Origin": STRANGER, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "accept"}
        before = await http.options(app.root + path, headers=asked)
        assert (before.status_code, before.headers["access-control-allow-origin"]) == (204, "*")
        assert "POST" not in before.headers["access-control-allow-methods"]


@pytest.mark.smart(17)
async def test_registered_origins_use_tokens_and_fhir_and_others_do_not(app, http, system, ward):
    cors._origins.clear()
    url = f"{app.tenant.base}/Patient/{ward.mine}"
    seen = await http.get(url, headers=system._headers | {"Origin": ORIGIN})
    assert seen.headers["access-control-allow-origin"] == ORIGIN
    assert "ETag" in seen.headers["access-control-expose-headers"]
    assert "Origin" in seen.headers["vary"]
    hidden = await http.get(url, headers=system._headers | {"Origin": STRANGER})
    assert "access-control-allow-origin" not in hidden.headers
    plain = await http.get(url, headers=system._headers)
    assert "access-control-allow-origin" not in plain.headers
    for origin, allowed in ((ORIGIN, True), (STRANGER, False)):
        asked = await http.options(url, headers={"Origin": origin, "Access-Control-Request-Method": "PUT"})
        assert asked.status_code == 204
        assert ("access-control-allow-origin" in asked.headers) is allowed
        assert ("Authorization" in asked.headers.get("access-control-allow-headers", "")) is allowed
        token = await http.post(f"{app.root}/oauth2/token", data={}, headers={"Origin": origin})
        assert token.status_code == 400
        assert ("access-control-allow-origin" in token.headers) is allowed
        before = await http.options(f"{app.root}/oauth2/token", headers={"Origin": origin})
        assert ("access-control-allow-origin" in before.headers) is allowed


async def test_errors_are_readable_by_scripts_too(app, http):
    cors._origins.clear()
    answer = await http.get(f"{app.tenant.base}/Patient/1", headers={"Origin": ORIGIN})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_our_own_pages_are_for_no_script(app, http):
    answer = await http.get(f"{app.root}/oauth2/login", headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in answer.headers
