"""No token is taken for another: id_tokens, refresh tokens, codes, cookies and handles are not access tokens."""

from __future__ import annotations

from tests.auth.flow.conftest import granted, to_consent


async def test_only_access_tokens_open_the_fhir_endpoint(browser, app, ward):
    b = browser()
    said = await granted(b, app, ward.own.login, scope="launch/patient patient/*.rs openid offline_access")
    code = (await b.allow(await b.open(app.url())))["code"]
    cookie = next(iter(b.http.cookies.values()))
    path = f"Patient/{ward.mine}"
    assert (await app.caller(said["access_token"]).get(path)).status == 200
    for other in (said["id_token"], said["refresh_token"], code, cookie):
        assert (await app.caller(other).get(path)).status == 401
    assert (await b.http.get(f"{app.tenant.base}/{path}")).status_code == 401  # the cookie is for pages only


async def test_an_access_token_is_no_refresh_token_and_no_code(browser, app, ward):
    said = await granted(browser(), app, ward.own.login, scope="patient/*.rs offline_access")
    for other in (said["access_token"], "x"):
        assert (await app.refresh(other)).json()["error"] == "invalid_grant"
        assert (await app.redeem(other)).json()["error"] == "invalid_grant"
    assert (await app.redeem(said["refresh_token"])).json()["error"] == "invalid_grant"


async def test_what_the_audit_keeps_holds_no_token(browser, app, ward, system):
    b = browser()
    page = await to_consent(b, app, ward.own.login, scope="launch/patient patient/*.rs offline_access")
    code = (await b.allow(page))["code"]
    said = (await app.redeem(code)).json()
    trail = (await system.get("AuditEvent?subtype=110122&_count=200")).text
    assert f"{app.client_id}" in trail
    assert '"valueString":"allowed"' in trail.replace(" ", "")
    for secret in (code, said["refresh_token"], said["access_token"], ward.own.login):
        assert secret not in trail
