"""Discovery promises what the server does: capability sets of SMART, endpoints that answer, small tokens, who has no resource."""

from __future__ import annotations

import pytest

from fhir_server.auth.people import accounts
from tests.auth.flow.conftest import PASSWORD, granted

SETS = {
    "Patient Access for Standalone Apps": {"launch-standalone", "context-standalone-patient", "permission-patient"},
    "Patient Access for EHR Launch": {"launch-ehr", "context-ehr-patient", "permission-patient"},
    "Clinician Access for Standalone": {"launch-standalone", "permission-user", "permission-patient"},
    "Clinician Access for EHR Launch": {
        "launch-ehr", "context-ehr-patient", "context-ehr-encounter", "permission-user", "permission-patient",
    },
}  # fmt: skip


@pytest.fixture
async def said(app, http) -> dict:
    answer = await http.get(f"{app.tenant.base}/.well-known/smart-configuration", headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


@pytest.mark.smart(346, 348, 349, 350, 351)
@pytest.mark.parametrize("name", SETS)
async def test_the_capability_sets(said, name):
    assert SETS[name] | {"client-public", "client-confidential-symmetric"} <= set(said["capabilities"])


async def test_nothing_is_promised_that_is_not_there(said):
    assert not {"smart-app-state"} & set(said["capabilities"])
    assert not {"user_access_brand_bundle", "associated_endpoints"} & said.keys()


@pytest.mark.smart(378, 382, 383, 385, 390, 391, 392)
async def test_every_endpoint_answers(said, http):
    for name, url in said.items():
        if name.endswith(("_endpoint", "_uri")):
            assert url.startswith(said["issuer"])
            assert (await http.get(url)).status_code in (200, 303, 400, 405), name


@pytest.mark.smart(381, 384, 393, 394)
async def test_required_fields(said, app):
    assert said["issuer"] == app.root
    assert {"authorization_code", "client_credentials", "refresh_token"} <= set(said["grant_types_supported"])
    assert said["response_types_supported"] == ["code"]
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert "private_key_jwt" in said["token_endpoint_auth_methods_supported"]
    assert {"RS384", "ES384"} <= set(said["token_endpoint_auth_signing_alg_values_supported"])


async def test_the_capability_statement_names_the_endpoints(said, app, http):
    statement = (await http.get(f"{app.tenant.base}/metadata")).json()
    security = statement["rest"][0]["security"]
    [uris] = [each for each in security["extension"] if each["url"].endswith("oauth-uris")]
    named = {each["url"]: each["valueUri"] for each in uris["extension"]}
    assert named["authorize"] == said["authorization_endpoint"]
    assert named["token"] == said["token_endpoint"]
    assert named["introspect"] == said["introspection_endpoint"]
    assert named["revoke"] == said["revocation_endpoint"]
    assert security["cors"] is True


@pytest.mark.smart(134)
async def test_tokens_fit_into_headers(browser, app, ward):
    token = await granted(browser(), app, ward.doctor.login, ward.mine)
    assert len(token["access_token"]) < 1500


@pytest.mark.smart(197)
async def test_who_is_no_resource_gets_no_fhir_user(browser, app, tenant, unique):
    await accounts.add(tenant, login=f"adm-{unique}", password=PASSWORD, roles=["administrator"])
    said = await granted(browser(), app, f"adm-{unique}", scope="openid fhirUser user/Location.rs")
    assert said["scope"] == "openid user/Location.rs"
    assert "linked to no FHIR resource" in said["dropped_scopes"]["fhirUser"]
