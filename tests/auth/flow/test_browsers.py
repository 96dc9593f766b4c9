"""Attacks on the browser's side: forged forms, fixed sessions, frames, pages that were tampered with, guesses."""

from __future__ import annotations

import re

import pytest

from fhir_server.auth import clients
from fhir_server.auth.flow.endpoints import cookie_name
from fhir_server.auth.people import accounts, totp
from tests.auth.flow.browser import Form, answer
from tests.auth.flow.conftest import CALLBACK, PASSWORD, SCOPE, App, to_consent

POSTS = ("login", "patient", "encounter", "consent", "apps", "logout")


@pytest.mark.parametrize("path", POSTS)
async def test_a_form_without_its_token_does_nothing(browser, app, ward, path):
    b = browser()
    page = await to_consent(b, app, ward.own.login)
    flow = dict(page.form("consent").fields)["flow"]
    for token in ({}, {"form_token": ""}, {"form_token": "A" * 43}):
        sent = {"flow": flow, "decision": "allow", "scope": "patient/*.rs", "login": "x", "password": "y"} | token
        refused = await b.http.post(f"{app.root}/oauth2/{path}", data=sent)
        assert refused.status_code == 403
        assert "location" not in refused.headers
    assert (await b.allow(page))["code"]


async def test_a_token_of_another_browser_does_nothing(browser, app, ward):
    victim, attacker = browser(), browser()
    page = await to_consent(victim, app, ward.own.login)
    other = await to_consent(attacker, app, ward.doctor.login, ward.mine)
    form = Form("consent", other.form("consent").fields, other.form("consent").boxes)
    refused = await victim.submit(page, form, decision="allow")
    assert refused.status == 403


async def test_a_form_sent_by_another_site_does_nothing(browser, app, ward):
    b = browser()
    page = await to_consent(b, app, ward.own.login)
    sent = dict(page.form("consent").fields) | {"decision": "allow", "scope": "patient/*.rs"}
    for site in ("cross-site", "same-site"):
        refused = await b.http.post(f"{app.root}/oauth2/consent", data=sent, headers={"Sec-Fetch-Site": site})
        assert refused.status_code == 403


async def test_login_csrf(browser, app, ward):
    """A stranger's page cannot sign the victim in as somebody else: the form needs the victim's own token."""
    b = browser()
    sent = {"login": ward.own.login, "password": PASSWORD}
    assert (await b.http.post(f"{app.root}/oauth2/login", data=sent)).status_code == 403


async def test_the_cookie_is_new_at_login_and_closed_to_scripts(browser, app, ward):
    b = browser()
    name = cookie_name(app.tenant)
    first = await b.get(app.url())
    before = b.http.cookies[name]
    said = first.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=lax" in said
    page = await b.open(app.url())
    assert b.http.cookies[name] == before
    await b.sign_in(page, ward.own.login, PASSWORD)
    after = b.http.cookies[name]
    assert after != before
    fixed = browser()
    fixed.http.cookies.set(name, before, domain="clarity.test")
    assert (await fixed.open(app.url())).form("login")


async def test_a_cookie_that_was_made_up_is_not_kept(browser, app):
    b = browser()
    b.http.cookies.set(cookie_name(app.tenant), "short", domain="clarity.test")
    said = (await b.get(app.url())).headers["set-cookie"]
    assert "short" not in said


async def test_over_https_the_cookie_belongs_to_this_host_alone(tenant, monkeypatch):
    monkeypatch.setattr(tenant, "base", tenant.base.replace("http://", "https://"))
    assert cookie_name(tenant).startswith("__Host-")


async def test_no_page_can_be_framed_or_run_a_script(browser, app, ward):
    b = browser()
    for page in (
        await b.open(app.url()),
        await b.open(app.url(client_id="nobody")),
        await to_consent(b, app, ward.own.login),
    ):
        policy = page.response.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert page.response.headers["x-frame-options"] == "DENY"
        assert page.response.headers["cache-control"] == "no-store"
        assert not any(tag == "script" or any(name.startswith("on") for name in said) for tag, said in page.tags)
        assert not any("style" in said for _, said in page.tags)
    consent = await to_consent(browser(), app, ward.own.login)
    assert "form-action 'self' https://app.example;" in consent.response.headers["content-security-policy"]


async def test_names_are_text(browser, ward, http, tenant, unique):
    name = '"><img src=x onerror=alert(1)>'
    await clients.add(tenant, name=name, scope=SCOPE, client_id=f"x-{unique}", public=True, redirect_uris=[CALLBACK])
    page = await to_consent(browser(), App(tenant, http, f"x-{unique}"), ward.own.login)
    assert name in page.text
    assert not any(tag == "img" for tag, _ in page.tags)


async def test_a_flow_that_was_tampered_with_does_not_open(browser, app, ward, tenants):
    b = browser()
    page = await to_consent(b, app, ward.own.login)
    form = page.form("consent")
    flow = dict(form.fields)["flow"]
    for wrong in (flow[:-4] + "AAA=", "", "x" * 30_000, "ü", flow + "A"):
        stopped = await b.submit(page, form, flow=wrong, decision="allow")
        assert stopped.status == 400
        assert "code=" not in stopped.response.headers.get("location", "")


async def test_a_flow_holds_ten_minutes(browser, app, ward, monkeypatch):
    from fhir_server.auth.flow import state

    b = browser()
    page = await b.open(app.url())
    now = state.clock.seconds()
    monkeypatch.setattr(state.clock, "seconds", lambda: now + state.SECONDS + 1)
    stopped = await b.sign_in(page, ward.own.login, PASSWORD)
    assert stopped.status == 400
    assert "older than 10 minutes" in stopped.text


async def test_a_patient_who_is_not_ones_own_is_not_chosen(browser, app, ward):
    b = browser()
    page = await b.sign_in(await b.open(app.url()), ward.doctor.login, PASSWORD)
    for id_ in (ward.other, "nobody-ever", "../Patient", "a b"):
        refused = await b.submit(page, page.forms[0], patient=id_)
        assert refused.status == 403
        assert "location" not in refused.response.headers
    assert (await b.submit(page, page.forms[0], patient=ward.mine)).form("consent")


async def test_an_encounter_that_is_not_the_patients_is_not_chosen(browser, app, ward):
    b = browser()
    page = await to_consent(b, app, ward.doctor.login, ward.mine, scope="launch/encounter patient/*.rs")
    assert answer(await b.submit(page, page.form("encounter"), encounter="another"))["error"] == "access_denied"


async def test_scopes_that_were_not_offered_are_not_granted(browser, app, ward):
    b = browser()
    page = await to_consent(b, app, ward.own.login, scope="patient/Observation.rs")
    form = page.form("consent")
    form.boxes += [("scope", "patient/*.cruds"), ("scope", "system/*.cruds"), ("scope", "offline_access")]
    back = answer(await b.submit(page, form, decision="allow"))
    assert (await app.redeem(back["code"])).json()["scope"] == "patient/Observation.rs"


async def test_who_fails_often_waits_and_longer_each_time(browser, app, ward):
    b = browser()
    page = await b.open(app.url())
    statuses = [(await b.sign_in(page, ward.own.login, f"guess number {n}")).status for n in range(7)]
    assert statuses[:5] == [401] * 5
    assert statuses[5:] == [429] * 2
    waiting = await b.sign_in(page, ward.own.login, PASSWORD)
    assert waiting.status == 429
    assert 0 < int(waiting.response.headers["retry-after"]) <= 900
    assert re.search(r"Try again in \d+ (seconds|minutes)", waiting.text)


async def test_the_second_factor(browser, app, tenant, ward, unique):
    account = await accounts.add(
        tenant, login=f"two-{unique}", password=PASSWORD, roles=["patient"], fhir_user=f"Patient/{ward.mine}",
        second_factor=True,
    )  # fmt: skip
    assert account.totp
    b = browser()
    page = await b.open(app.url())
    assert (await b.sign_in(page, account.login, PASSWORD)).status == 401
    assert (await b.sign_in(page, account.login, PASSWORD, "000000")).status == 401
    code = totp.code(account.totp, int(totp.clock.seconds()) // totp.STEP)
    assert (await b.sign_in(page, account.login, PASSWORD, code)).form("consent")
    again = browser()
    assert (await again.sign_in(await again.open(app.url()), account.login, PASSWORD, code)).status == 401


async def test_a_disabled_account_is_out(browser, app, ward, tenant):
    b = browser()
    await to_consent(b, app, ward.own.login)
    await accounts.set_disabled(tenant, ward.own, disabled=True)
    assert (await b.open(app.url())).form("login")
    page = await b.open(app.url())
    assert (await b.sign_in(page, ward.own.login, PASSWORD)).status == 401


async def test_a_new_password_ends_every_session(browser, app, ward, tenant):
    b = browser()
    await to_consent(b, app, ward.own.login)
    await accounts.set_password(tenant, ward.own, "another good password")
    assert (await b.open(app.url())).form("login")
