"""Codes and refresh tokens: each used once whatever happens at the same time, bound to client, redirect URI and verifier."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from fhir_server.auth import bearer, clients
from fhir_server.auth.flow import authorizations
from fhir_server.auth.people import accounts, sessions
from fhir_server.errors import Unavailable
from tests.auth.conftest import key_set, make_key, signed
from tests.auth.flow.conftest import CALLBACK, SCOPE, App, granted, to_consent

OFFLINE = "launch/patient patient/*.rs offline_access"


async def code_for(browser, app, ward, **changes) -> str:
    b = browser()
    return (await b.allow(await to_consent(b, app, ward.own.login, **changes)))["code"]


async def test_of_a_hundred_redemptions_one_gets_a_token(browser, app, ward):
    code = await code_for(browser, app, ward)
    answers = await asyncio.gather(*(app.redeem(code) for _ in range(100)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert {answer.json()["error"] for answer in answers if answer.status_code != 200} == {"invalid_grant"}
    bearer.forget(app.tenant)
    fhir = app.caller(won[0].json()["access_token"])
    assert (await fhir.get(f"Patient/{ward.mine}")).status == 401  # two had the code: nobody keeps what it gave


async def test_a_code_that_comes_back_revokes_what_it_gave(browser, app, ward):
    code = await code_for(browser, app, ward, scope=OFFLINE)
    said = (await app.redeem(code)).json()
    again = await app.redeem(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert "revoked" in again.json()["error_description"]
    assert (await app.refresh(said["refresh_token"])).status_code == 400


WRONG = [
    ({"code_verifier": "another-verifier-" * 4}, "invalid_grant"),
    ({"code_verifier": None}, "invalid_request"),
    ({"code_verifier": ""}, "invalid_request"),
    ({"code_verifier": "x" * 42}, "invalid_grant"),
    ({"code_verifier": "x" * 129}, "invalid_grant"),
    ({"redirect_uri": CALLBACK + "/"}, "invalid_grant"),
    ({"redirect_uri": None}, "invalid_request"),
    ({"code": "guessed"}, "invalid_grant"),
    ({"code": None}, "invalid_request"),
    ({"client_id": "nobody"}, "invalid_client"),
    ({"grant_type": "password"}, "unsupported_grant_type"),
    ({"grant_type": None}, "invalid_request"),
    ({"grant_type": "client_credentials"}, "unauthorized_client"),
]


@pytest.mark.smart(31, 73)
@pytest.mark.parametrize(("change", "error"), WRONG, ids=str)
async def test_what_is_refused(browser, app, ward, change, error):
    code = await code_for(browser, app, ward)
    answer = await app.redeem(**{"code": code} | change)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == error
    assert "access_token" not in answer.text


@pytest.mark.smart(31)
async def test_the_challenge_itself_is_no_verifier(browser, app, ward):
    code = await code_for(browser, app, ward)
    answer = await app.redeem(code, code_verifier=app.pkce.challenge)
    assert answer.json()["error"] == "invalid_grant"


async def test_another_client_cannot_redeem(browser, app, ward, http, tenant, unique):
    await clients.add(
        tenant, name="other", scope=SCOPE, client_id=f"other-{unique}", public=True, redirect_uris=[CALLBACK]
    )
    other = App(tenant, http, f"other-{unique}", pkce=app.pkce)
    code = await code_for(browser, app, ward)
    assert (await other.redeem(code)).json()["error"] == "invalid_grant"
    assert (await app.redeem(code)).status_code == 200


async def test_a_tenants_code_is_nothing_to_another(browser, app, ward, tenants, http):
    code = await code_for(browser, app, ward)
    [stranger] = [each for name, each in tenants.items() if name != app.tenant.name]
    await clients.add(stranger, name="x", scope=SCOPE, client_id=app.client_id, public=True, redirect_uris=[CALLBACK])
    assert (await App(stranger, http, app.client_id, pkce=app.pkce).redeem(code)).json()["error"] == "invalid_grant"


# ---- confidential clients ----


@pytest.mark.smart(356)
async def test_a_client_with_a_secret(browser, ward, http, tenant, unique):
    _, secret = await clients.add(
        tenant, name="Server app", scope=SCOPE, client_id=f"secret-{unique}", redirect_uris=[CALLBACK]
    )
    app = App(tenant, http, f"secret-{unique}", secret)
    said = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    renewed = await app.refresh(said["refresh_token"])
    assert renewed.status_code == 200
    code = await code_for(browser, app, ward)
    app.secret = "guess"
    assert (await app.redeem(code)).status_code == 401
    app.secret = None
    assert (await app.redeem(code)).json()["error"] == "invalid_client"


async def test_who_guesses_secrets_waits_and_the_client_does_not(http, tenant, unique):
    client_id = f"guessed-{unique}"
    _, secret = await clients.add(tenant, name="s", scope="system/*.rs", client_id=client_id)
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs"}
    guess, real = App(tenant, http, client_id, "guess"), App(tenant, http, client_id, secret)
    statuses = [(await guess.post("token", form)).status_code for _ in range(22)]
    assert statuses[:20] == [401] * 20
    refused = await guess.post("token", form)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert (await real.post("token", form)).status_code == 200


async def test_nothing_is_decided_that_cannot_be_audited(browser, app, ward, monkeypatch):
    """No code leaves when the trail cannot be written, as no token does."""
    b = browser()
    page = await to_consent(b, app, ward.own.login)

    async def broken(*_):
        raise Unavailable("no", "audit-unavailable")

    monkeypatch.setattr("fhir_server.audit.record.write_audit", broken)
    done = await b.http.post(
        f"{app.root}/oauth2/consent", data=dict(page.form("consent").fields) | {"decision": "allow"}
    )
    assert done.status_code == 503
    assert "location" not in done.headers


@pytest.mark.smart(357)
async def test_a_client_with_keys(browser, ward, http, tenant, unique):
    key = make_key("EC", "ec-1")
    await clients.add(
        tenant, name="Keyed", scope=SCOPE, client_id=f"keyed-{unique}", redirect_uris=[CALLBACK], jwks=key_set(key)
    )
    from tests.auth.conftest import ASSERTION, Service

    service = Service(tenant, f"keyed-{unique}", key, "ES384")
    app = App(tenant, http, f"keyed-{unique}")
    code = await code_for(browser, app, ward)
    proof = {"client_assertion_type": ASSERTION, "client_assertion": service.assertion()}
    answer = await app.redeem(code, client_id=None, **proof)
    assert answer.status_code == 200, answer.text
    assert signed  # the assertion was made by primitives, not by the library that reads it


# ---- refresh ----


@pytest.mark.smart(89, 109, 110, 111, 112, 113, 114, 365)
async def test_refresh_tokens_rotate(browser, app, ward):
    said = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    once = (await app.refresh(said["refresh_token"])).json()
    assert once["refresh_token"] != said["refresh_token"]
    assert set(once["scope"].split()) == set(said["scope"].split())
    assert (once["token_type"], once["expires_in"], once["patient"]) == ("Bearer", 3600, ward.mine)
    assert (await app.caller(once["access_token"]).get(f"Patient/{ward.mine}")).status == 200
    twice = (await app.refresh(once["refresh_token"])).json()
    assert twice["refresh_token"]


async def test_one_that_comes_back_ends_the_family(browser, app, ward):
    said = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    once = (await app.refresh(said["refresh_token"])).json()
    stolen = await app.refresh(said["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert (await app.refresh(once["refresh_token"])).status_code == 400
    bearer.forget(app.tenant)
    assert (await app.caller(once["access_token"]).get(f"Patient/{ward.mine}")).status == 401


async def test_of_many_at_once_one_gets_a_token(browser, app, ward):
    said = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    answers = await asyncio.gather(*(app.refresh(said["refresh_token"]) for _ in range(40)))
    assert sum(answer.status_code == 200 for answer in answers) == 1


@pytest.mark.smart(104, 109, 115)
async def test_refreshing_gives_less_but_never_more(browser, app, ward):
    said = await granted(browser(), app, ward.own.login, scope="launch/patient patient/Observation.rs offline_access")
    more = await app.refresh(said["refresh_token"], scope="patient/*.rs")
    assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")
    assert "patient/*.rs" in more.json()["error_description"]
    less = (await app.refresh(said["refresh_token"], scope="patient/Observation.r")).json()
    assert less["scope"] == "patient/Observation.r"
    same = (await app.refresh(less["refresh_token"])).json()
    assert "patient/Observation.rs" in same["scope"].split()


@pytest.mark.smart(103)
async def test_another_client_cannot_refresh(browser, app, ward, http, tenant, unique):
    await clients.add(tenant, name="o", scope=SCOPE, client_id=f"o-{unique}", public=True, redirect_uris=[CALLBACK])
    said = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    assert (await App(tenant, http, f"o-{unique}").refresh(said["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await app.refresh(said["refresh_token"])).status_code == 200


async def test_a_public_client_need_not_repeat_who_it_is(browser, app, ward, http, tenant, unique):
    said = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    once = await app.post("token", {"grant_type": "refresh_token", "refresh_token": said["refresh_token"]})
    assert once.status_code == 200
    _, secret = await clients.add(tenant, name="s", scope=SCOPE, client_id=f"q-{unique}", redirect_uris=[CALLBACK])
    confidential = App(tenant, http, f"q-{unique}", secret)
    theirs = await granted(browser(), confidential, ward.own.login, scope=OFFLINE)
    stolen = await app.post("token", {"grant_type": "refresh_token", "refresh_token": theirs["refresh_token"]})
    assert stolen.json()["error"] == "invalid_client"
    assert (await confidential.refresh(theirs["refresh_token"])).status_code == 200


@pytest.mark.smart(100, 366)
async def test_online_access_ends_with_the_session(browser, app, ward, tenant):
    b = browser()
    said = await granted(b, app, ward.own.login, scope="launch/patient patient/*.rs online_access")
    once = (await app.refresh(said["refresh_token"])).json()
    assert once["refresh_token"]
    page = await b.open(f"{app.root}/oauth2/apps")
    await b.submit(page, page.form("logout"))
    ended = await app.refresh(once["refresh_token"])
    assert ended.json()["error"] == "invalid_grant"
    assert "signed out" in ended.json()["error_description"]


@pytest.mark.smart(101, 365)
async def test_offline_access_survives_the_session_but_not_the_account(browser, app, ward, tenant):
    b = browser()
    said = await granted(b, app, ward.own.login, scope=OFFLINE)
    page = await b.open(f"{app.root}/oauth2/apps")
    await b.submit(page, page.form("logout"))
    once = (await app.refresh(said["refresh_token"])).json()
    assert once["access_token"]
    await accounts.set_disabled(tenant, ward.own, disabled=True)
    assert (await app.refresh(once["refresh_token"])).json()["error"] == "invalid_grant"
    bearer.forget(tenant)
    assert (await app.caller(once["access_token"]).get(f"Patient/{ward.mine}")).status == 401


@pytest.mark.smart(119)
async def test_roles_that_were_taken_away_are_gone_from_tokens_that_are_out(browser, app, ward, tenant):
    said = await granted(browser(), app, ward.doctor.login, ward.mine, scope="launch/patient patient/*.cruds")
    fhir = app.caller(said["access_token"])
    assert (await fhir.get(f"Patient/{ward.mine}")).status == 200
    await accounts.set_roles(tenant, ward.doctor, ["researcher"])
    bearer.forget(tenant)
    assert (await fhir.get(f"Patient/{ward.mine}")).status in (401, 403)


async def test_taking_back_on_ones_own_page(browser, app, ward):
    b = browser()
    said = await granted(b, app, ward.own.login, scope=OFFLINE)
    page = await b.open(f"{app.root}/oauth2/apps")
    assert "Sleep <Diary>" in page.text
    page = await b.submit(page, page.form("apps"))
    assert "No app has access" in page.text
    assert (await app.caller(said["access_token"]).get(f"Patient/{ward.mine}")).status == 401
    assert (await app.refresh(said["refresh_token"])).status_code == 400


async def test_what_has_run_out_of_itself_is_not_listed(browser, app, ward, tenant, monkeypatch):
    await granted(browser(), app, ward.own.login, scope="patient/*.rs")
    await granted(browser(), app, ward.own.login, scope=OFFLINE)
    now = authorizations.clock.now()
    assert len(await authorizations.of_person(tenant, ward.own)) == 2
    monkeypatch.setattr(authorizations.clock, "now", lambda: now + timedelta(hours=2))
    [kept] = await authorizations.of_person(tenant, ward.own)
    assert "offline_access" in kept.scope
    monkeypatch.setattr(authorizations.clock, "now", lambda: now + timedelta(days=200))
    assert await authorizations.of_person(tenant, ward.own) == []


async def test_a_session_is_over_after_its_time(browser, app, ward, tenant, monkeypatch):
    cookie, session = await sessions.begin(tenant, ward.own)
    assert await sessions.current(tenant, cookie) is not None
    later = sessions.clock.now() + sessions.IDLE * 1.1
    monkeypatch.setattr(sessions.clock, "now", lambda: later)
    assert await sessions.current(tenant, cookie) is None
    assert await sessions.is_online(tenant, session.digest)
