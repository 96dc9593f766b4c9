"""A client that we did not write, unmodified: authlib's, which makes its own verifier and checks `state` and the id_token."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.jwk import KeySet

from fhir_server.app import application
from fhir_server.auth import clients
from fhir_server.http.services import Services
from tests.auth.flow.conftest import CALLBACK, PASSWORD, SCOPE

ASKED = "launch/patient openid fhirUser offline_access patient/*.rs"


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
async def test_authlib(browser, services: Services, tenant, ward, unique, http, method):
    public = method == "none"
    _, secret = await clients.add(
        tenant, name="authlib", scope=SCOPE, client_id=f"lib-{unique}", public=public, redirect_uris=[CALLBACK]
    )
    transport = httpx2.ASGITransport(app=application(services))
    async with AsyncOAuth2Client(
        f"lib-{unique}", secret, token_endpoint_auth_method=method, code_challenge_method="S256", scope=ASKED,
        redirect_uri=CALLBACK, transport=transport,
    ) as client:  # fmt: skip
        said = (await http.get(f"{tenant.base}/.well-known/smart-configuration")).json()
        verifier = secrets.token_urlsafe(48)
        url, state = client.create_authorization_url(
            said["authorization_endpoint"], aud=tenant.base, code_verifier=verifier, nonce="n-7"
        )
        b = browser()
        page = await b.sign_in(await b.open(url), ward.own.login, PASSWORD)
        done = await b.submit(page, page.form("consent"), decision="allow")
        back = done.response.headers["location"]
        token = await client.fetch_token(
            said["token_endpoint"], authorization_response=back, code_verifier=verifier, state=state
        )
        assert token["patient"] == ward.mine
        keys = KeySet.import_key_set((await http.get(said["jwks_uri"])).json())
        claims = jwt.decode(token["id_token"], keys, algorithms=["RS256"]).claims
        assert (claims["nonce"], claims["aud"]) == ("n-7", f"lib-{unique}")
        assert (await client.get(f"{tenant.base}/Patient/{ward.mine}")).status_code == 200
        fresh = await client.refresh_token(said["token_endpoint"])
        assert fresh["refresh_token"] != token["refresh_token"]
        done = await client.revoke_token(said["revocation_endpoint"], fresh["refresh_token"])
        assert done.status_code == 200
        assert (await client.get(f"{tenant.base}/Patient/{ward.mine}")).status_code == 401
    assert urlunsplit(urlsplit(back)._replace(query="")) == CALLBACK
