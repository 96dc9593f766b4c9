"""The endpoints over HTTP: headers, methods, discovery that is true, audit before the answer."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from fhir_server.auth.launch_scopes import is_special
from fhir_server.auth.routes import routes
from fhir_server.auth.scopes import parse_scope
from fhir_server.errors import NotFound, Unavailable
from fhir_server.kit.throttle import DEFAULTS
from fhir_server.storage.tenants import Tenant
from tests.auth.conftest import ASSERTION, Service


class Recorder:
    """Stands where the audit writes; can be told that it cannot."""

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.broken = False

    async def __call__(self, tenant, **event) -> None:
        if self.broken:
            raise Unavailable("no", "audit-unavailable")
        self.events.append({"tenant": tenant.name, **event})


@pytest.fixture
async def served(tenants: dict[str, Tenant]):
    recorder = Recorder()

    def tenant_of(request: Request) -> Tenant:
        name = request.path_params.get("tenant", "default")
        if name not in tenants:
            raise NotFound("There is no such tenant.")
        return tenants[name]

    async def uncounted(tenant: Tenant, budget: str, who: str) -> None:
        assert budget in DEFAULTS

    app = Starlette(routes=routes(tenant_of, lambda request: "request-1", recorder, nobody, uncounted, loopback=True))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://clarity.test") as client:
        yield client, recorder


async def nobody(ctx, path, query):
    """There is no FHIR endpoint beside these routes."""
    return


def form(service: Service, **more: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials", "scope": "system/Observation.rs",
        "client_assertion_type": ASSERTION, "client_assertion": service.assertion(), **more,
    }  # fmt: skip


def path(tenant: Tenant, tail: str) -> str:
    return tenant.base.removesuffix("/fhir") + tail


@pytest.mark.smart(248, 253, 254, 255, 256, 258)
async def test_token(served, service, tenant):
    client, recorder = served
    answer = await client.post(path(tenant, "/oauth2/token"), data=form(service))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert "access-control-allow-origin" not in answer.headers
    said = answer.json()
    assert said.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert (said["token_type"], said["expires_in"], said["scope"]) == ("Bearer", 300, "system/Observation.rs")
    [event] = recorder.events
    assert (event["tenant"], event["status"], event["request"]) == (tenant.name, 200, "request-1")


async def test_a_refusal_is_recorded_too(served, service, tenant):
    client, recorder = served
    answer = await client.post(path(tenant, "/oauth2/token"), data=form(service, scope="system/Patient.sr"))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_scope"
    [event] = recorder.events
    assert event["status"] == 400
    assert event["detail"]["client"] == service.client_id


async def test_no_audit_no_token(served, service, tenant):
    client, recorder = served
    recorder.broken = True
    answer = await client.post(path(tenant, "/oauth2/token"), data=form(service))
    assert answer.status_code == 503
    assert "access_token" not in answer.text


async def test_what_is_not_a_token_request(served, service, tenant):
    client, _ = served
    url = path(tenant, "/oauth2/token")
    data = form(service)
    tries = [
        await client.post(url, json=data),
        await client.post(url, content=b""),
        await client.post(f"{url}?grant_type=client_credentials", data=data),
        await client.post(url, data=data, headers=[("authorization", "Basic eDp5"), ("authorization", "Basic eDp5")]),
        await client.post(url, content=b"x" * 5_000_000, headers={"content-type": "application/x-www-form-urlencoded"}),
        await client.post(
            url,
            content=urlencode(data) + "&scope=system%2F*.cruds",
            headers={"content-type": "application/x-www-form-urlencoded"},
        ),
    ]
    for answer in tries:
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"] == "invalid_request"
    assert (await client.get(url)).status_code == 405


@pytest.mark.smart(30, 126, 127, 228, 285, 286, 287, 288, 289, 369, 372, 373, 374, 377, 380, 389)
async def test_discovery_is_true(served, service, tenant):
    client, _ = served
    answer = await client.get(tenant.base + "/.well-known/smart-configuration", headers={"accept": "text/html"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    said = answer.json()
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["registration_endpoint"] == said["token_endpoint"].replace("/token", "/register")
    for scope in said["scopes_supported"]:
        if scope.startswith("system/"):
            answered = await client.post(said["token_endpoint"], data=form(service, scope=scope))
            assert answered.json()["scope"] == scope
        elif not is_special(scope):
            parse_scope(scope)
    jwks = (await client.get(said["jwks_uri"])).json()
    assert {key["kty"] for key in jwks["keys"]} == {"EC", "RSA"}
    assert not any({"d", "p", "q"} & key.keys() for key in jwks["keys"])
    assert all(said[name].startswith("http") for name in said if name.endswith(("endpoint", "_uri", "issuer")))
    openid = (await client.get(f"{said['issuer']}/.well-known/openid-configuration")).json()
    assert openid["issuer"] == said["issuer"]
    assert openid["id_token_signing_alg_values_supported"] == ["RS256"]


@pytest.mark.smart(289, 310)
async def test_both_algorithms_that_discovery_names_work(served, service, tenant, ec):
    client, _ = served
    said = (await client.get(tenant.base + "/.well-known/smart-configuration")).json()
    assert said["token_endpoint_auth_signing_alg_values_supported"] == ["ES384", "RS384"]
    service.key, service.alg = ec, "ES384"
    assert (await client.post(said["token_endpoint"], data=form(service))).status_code == 200


async def test_a_slash_too_many_sends_nobody_elsewhere(http, tenant):
    for place in ("/oauth2/token/", "/oauth2/login/", "/admin/clients/"):
        answer = await http.post(path(tenant, place), data={"grant_type": "x"}, headers={"host": "evil.example"})
        assert answer.status_code in (404, 405)
        assert "location" not in answer.headers


async def test_a_launch_that_is_refused_is_recorded(served, service, tenant):
    client, recorder = served
    url = path(tenant, "/oauth2/launch")
    assert (await client.post(url, json={"client_id": "x"})).status_code == 401
    got = (await client.post(path(tenant, "/oauth2/token"), data=form(service))).json()
    bearer = {"authorization": f"Bearer {got['access_token']}"}
    assert (await client.post(url, json={"client_id": "x"}, headers=bearer)).status_code == 403
    stranger, known = [event for event in recorder.events if event["detail"].get("event") == "launch refused"]
    assert (stranger["agent"], stranger["status"]) == (0, 401)
    assert known["agent"] > 0
