"""Dynamic registration (RFC 7591, 7592): what may be asked, what is bounded, and that nothing works before it is approved."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from fhir_server.auth import clients, decisions, registration
from fhir_server.auth.redirects import ClientError
from tests.auth.conftest import key_set

APP = {
    "client_name": "Sleep diary", "redirect_uris": ["https://app.example/callback"], "token_endpoint_auth_method": "none",
    "scope": "launch/patient openid fhirUser offline_access patient/*.rs",
}  # fmt: skip
SERVICE = {
    "client_name": "Registry", "grant_types": ["client_credentials"], "scope": "system/Observation.rs",
    "token_endpoint_auth_method": "client_secret_basic",
}  # fmt: skip


@pytest.fixture
async def ask(http, tenant):
    root = tenant.base.removesuffix("/fhir")
    await tenant.pool.execute(tenant.sql("DELETE FROM {s}.oauth_client WHERE pending"))

    async def send(metadata: Any, **headers: str):
        return await http.post(f"{root}/oauth2/register", json=metadata, headers=headers)

    return send


async def token_of(http, tenant, made: dict[str, Any]) -> int:
    basic = b64encode(f"{made['client_id']}:{made['client_secret']}".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": "system/Observation.rs"}
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/token"
    return (await http.post(url, data=form, headers={"Authorization": f"Basic {basic}"})).status_code


async def test_nothing_works_before_an_administrator_decides(ask, http, tenant):
    answer = await ask(SERVICE)
    made = answer.json()
    assert (answer.status_code, made["registration_status"]) == (201, "pending")
    assert answer.headers["cache-control"] == "no-store"
    assert made["client_id"] in [each.client.client_id for each in await decisions.listed(tenant, pending=True)]
    assert made["client_id"] not in [each.client_id for each in await clients.listed(tenant)]
    assert await token_of(http, tenant, made) == 401
    approved = await decisions.approve(tenant, made["client_id"])
    assert approved.scope == SERVICE["scope"]
    assert await token_of(http, tenant, made) == 200
    with pytest.raises(ClientError, match="waits for a decision"):
        await decisions.approve(tenant, made["client_id"])


async def test_an_app_waits_too(ask, http, tenant):
    made = (await ask(APP)).json()
    assert "client_secret" not in made
    query = (
        f"response_type=code&client_id={made['client_id']}&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&state=12345678"
        f"&scope=patient%2F*.rs&aud={tenant.base}&code_challenge={'x' * 43}&code_challenge_method=S256"
    )
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/authorize?{query}"
    assert (await http.get(url)).status_code == 400, "an unknown client redirects nowhere"
    for more in ("launch/patient patient/*.cruds", "launch/patient __see/all"):
        with pytest.raises(ClientError, match="did not ask for"):
            await decisions.approve(tenant, made["client_id"], more)
    await decisions.approve(tenant, made["client_id"], "launch/patient patient/Observation.rs")
    shown = await http.get(url)
    assert (shown.status_code, "Sign in" in shown.text) == (200, True)
    client = await clients.get(tenant, made["client_id"])
    assert client is not None
    assert client.scope == "launch/patient patient/Observation.rs", "an administrator may give less"


async def test_keys_come_with_it(ask, tenant, ec):
    jwks = {"keys": [dict(ec.as_dict(private=False))]}
    method = {"token_endpoint_auth_method": "private_key_jwt"}
    made = (await ask(SERVICE | method | {"jwks": jwks})).json()
    assert made["jwks"]["keys"][0]["kid"] == ec.kid
    private = {"keys": [dict(ec.as_dict(private=True))]}
    refused = await ask(SERVICE | method | {"jwks": private})
    assert "private" in refused.json()["error_description"]
    assert key_set(ec)
    assert (await ask(SERVICE | method | {"jwks_uri": "https://app.example/jwks"})).status_code == 201


async def test_who_registered_may_look_and_take_back(ask, http, tenant):
    made, other = (await ask(SERVICE)).json(), (await ask(SERVICE)).json()
    url, token = made["registration_client_uri"], made["registration_access_token"]
    mine = {"Authorization": f"Bearer {token}"}
    said = await http.get(url, headers=mine)
    assert (said.status_code, said.json()["registration_status"]) == (200, "pending")
    assert "client_secret" not in said.json()
    for wrong in (
        {},
        {"Authorization": f"Bearer {other['registration_access_token']}"},
        {"Authorization": f"Basic {token}"},
    ):
        refused = await http.get(url, headers=wrong)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
        assert (await http.delete(url, headers=wrong)).status_code == 401
    await decisions.approve(tenant, made["client_id"])
    assert (await http.get(url, headers=mine)).json()["registration_status"] == "approved"
    assert (await http.delete(url, headers=mine)).status_code == 204
    assert await clients.get(tenant, made["client_id"], fresh=True) is None
    assert (await http.get(url, headers=mine)).status_code == 401
    assert (
        await http.get(other["registration_client_uri"].replace(other["client_id"], "clarity-cli"))
    ).status_code == 401


async def test_a_client_that_was_added_by_hand_has_no_registration_token(http, tenant, unique):
    await clients.add(tenant, name="x", scope="system/*.rs", client_id=f"hand-{unique}")
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/register/hand-{unique}"
    answer = await http.get(url, headers={"Authorization": f"Bearer {'A' * 43}"})
    assert answer.status_code == 401


REFUSED = [
    (APP | {"redirect_uris": []}, "invalid_redirect_uri", "needs redirect_uris"),
    (APP | {"redirect_uris": ["http://app.example/callback"]}, "invalid_redirect_uri", "https://host/path"),
    (APP | {"redirect_uris": ["https://user@app.example/"]}, "invalid_redirect_uri", "user name"),
    (APP | {"redirect_uris": ["javascript:alert(1)//x.y"]}, "invalid_redirect_uri", "redirect URI"),
    (APP | {"redirect_uris": [f"https://app.example/{n}" for n in range(21)]}, "invalid_redirect_uri", "20"),
    (APP | {"redirect_uris": "https://app.example/callback"}, "invalid_client_metadata", "array"),
    (SERVICE | {"redirect_uris": ["https://a.example/b"]}, "invalid_redirect_uri", "authorization_code only"),
    (APP | {"client_name": ""}, "invalid_client_metadata", "client_name"),
    (APP | {"client_name": "Bank\u202egro"}, "invalid_client_metadata", "visible characters"),
    (APP | {"client_name": "two\nlines"}, "invalid_client_metadata", "visible characters"),
    (APP | {"client_name": "x" * 81}, "invalid_client_metadata", "80"),
    (APP | {"redirect_uris": ["https://app.example/callback?code=1"]}, "invalid_redirect_uri", "code"),
    (APP | {"contacts": "me@app.example"}, "invalid_client_metadata", "contacts"),
    (APP | {"contacts": ["me@app.example\u202e"]}, "invalid_client_metadata", "visible characters"),
    (APP | {"contacts": ["a"] * 6}, "invalid_client_metadata", "contacts"),
    (APP | {"client_uri": "javascript:alert(1)"}, "invalid_client_metadata", "client_uri"),
    (APP | {"scope": ""}, "invalid_client_metadata", "scope"),
    (APP | {"scope": "patient/*.sr"}, "invalid_client_metadata", "refused"),
    (APP | {"scope": "patient/*.rs nonsense"}, "invalid_client_metadata", "nonsense"),
    (APP | {"scope": "patient/*.rs system/*.rs"}, "invalid_client_metadata", "client_credentials"),
    (SERVICE | {"scope": "system/*.rs __introspect"}, "invalid_client_metadata", "__introspect"),
    (SERVICE | {"scope": "__launch"}, "invalid_client_metadata", "__launch"),
    (SERVICE | {"scope": "user/*.rs"}, "invalid_client_metadata", "authorization_code"),
    (APP | {"grant_types": ["password"]}, "invalid_client_metadata", "password"),
    (APP | {"grant_types": ["refresh_token"]}, "invalid_client_metadata", "authorization_code"),
    (APP | {"response_types": ["token"]}, "invalid_client_metadata", "response_types"),
    (APP | {"token_endpoint_auth_method": "tls_client_auth"}, "invalid_client_metadata", "private_key_jwt"),
    (SERVICE | {"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata", "jwks"),
    (SERVICE | {"jwks_uri": "https://a.example/k"}, "invalid_client_metadata", "jwks"),
    (SERVICE | {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://169.254.169.254/"},
     "invalid_client_metadata", "https"),
    (SERVICE | {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://["},
     "invalid_client_metadata", "jwks_uri"),
    (SERVICE | {"token_endpoint_auth_method": "none"}, "invalid_client_metadata", "public client"),
    (APP | {"software_statement": "x.y.z"}, "unapproved_software_statement", "without one"),
    ([], "invalid_client_metadata", "JSON object"),
    ({}, "invalid_redirect_uri", "redirect_uris"),
]  # fmt: skip


@pytest.mark.parametrize(("metadata", "error", "said"), REFUSED)
async def test_what_may_not_be_asked(ask, tenant, metadata, error, said):
    answer = await ask(metadata)
    assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
    assert said in answer.json()["error_description"]
    assert not await decisions.listed(tenant, pending=True)


async def test_what_is_no_request(http, tenant):
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/register"
    assert (await http.post(url, content=b"{", headers={"content-type": "application/json"})).status_code == 400
    assert (await http.post(url, content=b"{}", headers={"content-type": "text/plain"})).status_code == 400
    long = b'{"client_name": "' + b"x" * registration.MAX_BODY + b'"}'
    assert (await http.post(url, content=long, headers={"content-type": "application/json"})).status_code == 400
    twice = b'{"scope": "a", "scope": "b"}'
    assert (await http.post(url, content=twice, headers={"content-type": "application/json"})).status_code == 400


async def test_strangers_cannot_fill_the_table(ask, tenant, monkeypatch):
    monkeypatch.setattr(registration, "MOST_PENDING", 2)
    assert [(await ask(SERVICE)).status_code for _ in range(3)] == [201, 201, 503]
    await tenant.pool.execute(
        tenant.sql("UPDATE {s}.oauth_client SET created_at = now() - interval '31 days' WHERE pending")
    )
    await registration.forget_old(tenant)
    assert not await decisions.listed(tenant, pending=True)


async def test_refused_is_forgotten(ask, tenant):
    made = (await ask(SERVICE)).json()
    await decisions.refuse(tenant, made["client_id"])
    assert await decisions.registered(tenant, made["client_id"]) is None
    with pytest.raises(ClientError):
        await decisions.refuse(tenant, made["client_id"])
    await clients.add(tenant, name="x", scope="system/*.rs", client_id=f"standing-{made['client_id']}"[:60])
    with pytest.raises(ClientError):
        await decisions.refuse(tenant, f"standing-{made['client_id']}"[:60])


async def test_who_asked_is_told_why_it_was_refused(ask, http, tenant):
    made = (await ask(SERVICE | {"contacts": ["ida@app.example"], "client_uri": "https://app.example/"})).json()
    [waits] = await decisions.listed(tenant, pending=True)
    assert waits.asked is not None
    assert (waits.asked.contacts, waits.asked.uri) == (("ida@app.example",), "https://app.example/")
    for wrong in ("", "x" * (decisions.MAX_REASON + 1)):
        with pytest.raises(ClientError, match="reason"):
            await decisions.refuse(tenant, made["client_id"], wrong)
    await decisions.refuse(tenant, made["client_id"], "Nobody knows this registry.")
    assert not await decisions.listed(tenant, pending=True)
    mine = {"Authorization": f"Bearer {made['registration_access_token']}"}
    said = (await http.get(made["registration_client_uri"], headers=mine)).json()
    assert (said["registration_status"], said["registration_reason"]) == ("refused", "Nobody knows this registry.")
    assert said["contacts"] == ["ida@app.example"]
    assert await token_of(http, tenant, made) == 401
    for late in (decisions.approve, decisions.refuse):
        with pytest.raises(ClientError, match="waits for a decision"):
            await late(tenant, made["client_id"])
    with pytest.raises(ClientError, match="is registered"):
        await decisions.set_disabled(tenant, made["client_id"], disabled=False)
    assert (await http.delete(made["registration_client_uri"], headers=mine)).status_code == 204


async def test_discovery_names_it(http, tenant):
    said = (await http.get(f"{tenant.base}/.well-known/smart-configuration")).json()
    assert said["registration_endpoint"] == f"{tenant.base.removesuffix('/fhir')}/oauth2/register"
