"""The administration API over HTTP, from who may to what the trail says afterwards."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import httpx
import pytest

from fhir_server.auth import bearer, clients, principals
from fhir_server.auth.flow import authorizations
from fhir_server.auth.flow.authorizations import Authorization, insert
from fhir_server.auth.people import accounts
from fhir_server.auth.people.accounts import Account
from fhir_server.auth.people.roles import ROLES
from fhir_server.kit import clock, json
from fhir_server.storage import aside, ident
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant
from tests.auth.conftest import key_set, make_key

PASSWORD = "a long enough secret"


class Admin:
    """Somebody who asks the administration API."""

    def __init__(self, tenant: Tenant, http: httpx.AsyncClient, token: str) -> None:
        self.tenant, self.http, self.token = tenant, http, token

    async def __call__(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        url = f"{self.tenant.base.removesuffix('/fhir')}/admin/{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await self.http.request(method, url, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json() if answer.content else None


async def token(tenant: Tenant, http: httpx.AsyncClient, client_id: str, secret: str, scope: str) -> str:
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": scope}
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/token"
    answer = await http.post(url, data=form, headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


@pytest.fixture
async def admin(tenant: Tenant, http: httpx.AsyncClient, unique: str) -> Admin:
    scope = "__admin system/AuditEvent.rs"
    client, secret = await clients.add(tenant, name="console", scope=scope, client_id=f"console-{unique}")
    assert secret is not None
    return Admin(tenant, http, await token(tenant, http, client.client_id, secret, scope))


async def trail(admin: Admin) -> str:
    headers = {"Authorization": f"Bearer {admin.token}"}
    near = "&".join(
        f"date={prefix}{(clock.now() + timedelta(seconds=s)).isoformat()[:19]}Z"
        for prefix, s in (("ge", -60), ("le", 2))
    )
    url = f"{admin.tenant.base}/AuditEvent?{near}&_sort=-date&_count=200"  # other tests move the clock
    answer = await admin.http.get(url, headers=headers)
    assert answer.status_code == 200
    return answer.text


async def test_a_client_is_added_used_and_removed(admin, tenant, http, unique):
    body = {"client_id": f"hub-{unique}", "name": "Hub", "scope": "system/Observation.c"}
    made = await admin("POST", "clients", body, 201)
    assert made["method"] == "client_secret"
    await token(tenant, http, f"hub-{unique}", made["client_secret"], "system/Observation.c")
    assert f"hub-{unique}" in [each["client_id"] for each in (await admin("GET", "clients"))["clients"]]
    looked = await admin("GET", f"clients/hub-{unique}")
    assert looked.items() >= {k: v for k, v in made.items() if k != "client_secret"}.items()
    assert (looked["status"], looked["pending"], looked["asked"], looked["address"]) == ("approved", False, False, None)
    assert made["client_secret"] not in await trail(admin)
    await admin("DELETE", f"clients/hub-{unique}", status=204)
    await admin("DELETE", f"clients/hub-{unique}", status=404)
    assert await clients.get(tenant, f"hub-{unique}", fresh=True) is None
    assert "client removed" in await trail(admin)


async def test_clients_with_keys_and_public_ones(admin, unique):
    keys = key_set(make_key("EC", "k1"))
    made = await admin(
        "POST", "clients", {"name": "S", "scope": "system/*.rs", "jwks": json.decode(keys.encode())}, 201
    )
    assert (made["method"], "client_secret" in made) == ("private_key_jwt", False)
    public = {"name": "P", "scope": "patient/*.rs", "public": True, "redirect_uris": ["https://app.example/done"]}
    assert (await admin("POST", "clients", public, 201))["method"] == "none"
    refused = await admin("POST", "clients", public | {"redirect_uris": []}, 422)
    assert "redirect URI" in refused["issue"][0]["diagnostics"]
    await admin("POST", "clients", {"client_id": f"twice-{unique}", "name": "T", "scope": "system/*.r"}, 201)
    await admin("POST", "clients", {"client_id": f"twice-{unique}", "name": "T", "scope": "system/*.r"}, 409)


async def test_what_asked_to_be_registered_is_decided(admin, tenant, http, unique):
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/register"
    asked = {"client_name": "Diary", "redirect_uris": ["https://d.example/done"], "token_endpoint_auth_method": "none",
             "scope": "patient/Observation.rs patient/Patient.rs launch/patient"}  # fmt: skip
    one, two = [(await http.post(url, json=asked)).json()["client_id"] for _ in range(2)]
    waiting = [each["client_id"] for each in (await admin("GET", "clients?pending=true"))["clients"]]
    assert {one, two} <= set(waiting)
    assert (await admin("GET", f"clients/{one}"))["pending"] is True
    done = await admin("POST", f"clients/{one}/approve", {"scope": "patient/Observation.rs"})
    assert done["scope"] == "patient/Observation.rs"
    await admin("POST", f"clients/{one}/approve", status=409)
    await admin("POST", f"clients/{two}/refuse", status=204)
    await admin("GET", f"clients/{two}", status=404)


async def test_a_refusal_carries_its_reason(admin, tenant, http):
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/register"
    asked = {"client_name": "Diary", "redirect_uris": ["https://d.example/done"], "token_endpoint_auth_method": "none",
             "scope": "patient/Observation.rs", "contacts": ["ida@d.example"], "client_uri": "https://d.example/"}  # fmt: skip
    made = (await http.post(url, json=asked)).json()["client_id"]
    looked = await admin("GET", f"clients/{made}")
    assert (looked["asked"], looked["contacts"], looked["client_uri"]) == (
        True,
        ["ida@d.example"],
        "https://d.example/",
    )
    assert looked["since"][:4] == clock.instant(clock.now())[:4]
    await admin("PATCH", f"clients/{made}", {"disabled": True}, 409)
    await admin("POST", f"clients/{made}/refuse", {"reason": "x" * 501}, 422)
    await admin("POST", f"clients/{made}/refuse", {"reason": "We do not know you."}, 204)
    assert (await admin("GET", f"clients/{made}"))["status"] == "refused"
    assert "We do not know you." in await trail(admin)
    assert made not in str(await admin("GET", "clients?pending=true")) + str(await admin("GET", "clients"))
    await admin("POST", f"clients/{made}/approve", status=409)


async def test_a_disabled_client_is_none_until_it_is_enabled(admin, tenant, http, unique):
    hub = f"off-{unique}"
    made = await admin("POST", "clients", {"client_id": hub, "name": "Hub", "scope": "system/Observation.rs"}, 201)
    held = await token(tenant, http, hub, made["client_secret"], "system/Observation.rs")
    account = await accounts.add(tenant, login=f"p-{unique}", password=PASSWORD, roles=["patient"])
    allowed = Authorization(f"g-{unique}", hub, account.id, b"", "patient/*.rs", None, {}, clock.now())
    async with tenant.pool.acquire() as connection:
        await insert(connection, tenant, allowed)
    search = {"Authorization": f"Bearer {held}"}
    assert (await http.get(f"{tenant.base}/Observation", headers=search)).status_code == 200
    off = await admin("PATCH", f"clients/{hub}", {"disabled": True})
    assert (off["status"], off["client_id"]) == ("disabled", hub)
    assert (await http.get(f"{tenant.base}/Observation", headers=search)).status_code == 401
    with pytest.raises(AssertionError, match="invalid_client"):
        await token(tenant, http, hub, made["client_secret"], "system/Observation.rs")
    assert hub not in [each.client_id for each in await clients.listed(tenant)]
    assert hub in [each["client_id"] for each in (await admin("GET", "clients"))["clients"]]
    await admin("POST", "clients", {"client_id": hub, "name": "Other", "scope": "system/*.r"}, 409)
    ended = await authorizations.get(tenant, allowed.id)
    assert ended is not None
    assert ended.ended, "enabled again, it has to ask people again"
    await admin("PATCH", f"clients/{hub}", {"disabled": True})  # once more is nothing else
    assert (await admin("PATCH", f"clients/{hub}", {"disabled": False}))["status"] == "approved"
    await token(tenant, http, hub, made["client_secret"], "system/Observation.rs")
    said = await trail(admin)
    assert "client disabled" in said
    assert "client enabled" in said
    await admin("PATCH", f"clients/none-{unique}", {"disabled": True}, 404)
    await admin("PATCH", f"clients/{hub}", {}, 400)
    await admin("PATCH", f"clients/console-{unique}", {"disabled": True}, 409)


async def test_a_person_is_added_changed_and_disabled(admin, tenant, unique):
    body = {"login": f"noor-{unique}", "roles": ["clinician"], "name": "Noor", "fhirUser": "Practitioner/noor",
            "second_factor": True}  # fmt: skip
    made = await admin("POST", "users", body, 201)
    assert made["totp"].startswith("otpauth://")
    assert len(made["password"]) >= 12
    [found] = (await admin("GET", f"users?login=noor-{unique}"))["users"]
    assert found == {k: v for k, v in made.items() if k not in ("password", "totp")}
    changed = await admin("PATCH", f"users/{made['id']}", {"roles": ["psychiatrist"], "disabled": True})
    assert (changed["roles"], changed["disabled"]) == (["psychiatrist"], True)
    assert (await admin("PATCH", f"users/{made['id']}", {"disabled": False}))["disabled"] is False
    account = await accounts.get(tenant, made["id"])
    assert account is not None
    await admin("PATCH", f"users/{made['id']}", {"password": PASSWORD})
    again = await accounts.get(tenant, made["id"])
    assert again is not None
    assert again.password != account.password
    text = await trail(admin)
    assert "user changed" in text
    for secret in (f"noor-{unique}", made["password"], PASSWORD):
        assert secret not in text


async def test_nothing_is_changed_when_a_part_is_wrong(admin, tenant, unique):
    made = await admin("POST", "users", {"login": f"half-{unique}", "roles": ["patient"]}, 201)
    await admin("PATCH", f"users/{made['id']}", {"roles": ["auditor"], "password": "short"}, 422)
    await admin("PATCH", f"users/{made['id']}", {"roles": ["king"], "disabled": True}, 422)
    account = await accounts.get(tenant, made["id"])
    assert account is not None
    assert (account.roles, account.disabled) == (frozenset({"patient"}), False)
    await admin("PATCH", "users/nobody", {"disabled": True}, 404)
    await admin("POST", "users", {"login": f"empty-{unique}", "roles": ["patient"], "password": ""}, 422)
    await admin("POST", "users", {"login": f"half-{unique}", "roles": ["patient"]}, 409)


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({"logn": "x", "roles": ["patient"]}, ["logn", "login"]),
        ({"login": 5, "roles": "patient"}, ["login", "roles"]),
        ({"login": "x", "roles": [1]}, ["roles"]),
        ([], [None]),
    ],
)
async def test_every_wrong_member_is_named(admin, body, places):
    said = await admin("POST", "users", body, 400)
    assert [issue.get("expression", [None])[0] for issue in said["issue"]] == places
    if "logn" in body:
        assert "did you mean login?" in said["issue"][0]["diagnostics"]


async def test_roles_and_emergencies_are_told(admin):
    assert [each["role"] for each in (await admin("GET", "roles"))["roles"]] == list(ROLES)
    assert isinstance((await admin("GET", "emergencies"))["emergencies"], list)


async def _person(tenant: Tenant, unique: str, role: str) -> Account:
    login = f"{role}-{unique}"
    return await accounts.add(tenant, login=login, password=PASSWORD, roles=[role], fhir_user="Practitioner/x")


async def test_who_has_not_the_scope_learns_nothing(admin, tenant, http, unique):
    _, secret = await clients.add(tenant, name="c", scope="system/*.cruds", client_id=f"c-{unique}")
    assert secret is not None
    other = Admin(tenant, http, await token(tenant, http, f"c-{unique}", secret, "system/*.cruds"))
    for method, path in (("GET", "clients"), ("POST", "users"), ("GET", "users/x"), ("GET", "emergencies")):
        url = f"{tenant.base.removesuffix('/fhir')}/admin/{path}"
        answer = await http.request(method, url, headers={"Authorization": f"Bearer {other.token}"})
        assert answer.status_code == 403
        assert "__admin" in answer.headers["www-authenticate"]
        assert (await http.request(method, url)).status_code == 401
    assert "administration refused" in await trail(admin)


@pytest.mark.parametrize("role", ["administrator", "psychiatrist"])
async def test_an_administrators_app_may_and_nobody_elses(tenant, http, unique, role, monkeypatch):
    account = await _person(tenant, unique, role)
    await clients.add(
        tenant, name="console", scope="__admin openid", client_id=f"app-{unique}", public=True,
        redirect_uris=["https://console.example/done"],
    )  # fmt: skip
    principal = await principals.current_principal(
        tenant, f"app-{unique}", "__admin openid", patient=None, user="Practitioner/x", token_id="t", expires=2**40,
        account=account,
    )  # fmt: skip

    async def known(*_: Any) -> Any:
        return principal

    monkeypatch.setattr(bearer, "authenticate", known)
    asked = Admin(tenant, http, "whatever")
    if role == "psychiatrist":
        url = f"{tenant.base.removesuffix('/fhir')}/admin/roles"
        assert (await http.get(url)).status_code == 403
        return
    await asked("PATCH", f"users/{account.id}", {"roles": ["clinician"]}, 409)
    await asked("PATCH", f"users/{account.id}", {"disabled": True}, 409)
    await asked("PATCH", f"users/{account.id}", {"roles": ["administrator", "auditor"]})


async def test_a_client_does_not_remove_itself(admin, unique):
    await admin("DELETE", f"clients/console-{unique}", status=409)


async def test_changes_that_could_not_be_acted_on_are_listed_and_replayed(admin: Admin) -> None:
    rid = await ident.rids(admin.tenant, [("Observation", "set-aside")])
    event = Event(3, rid["Observation", "set-aside"], "Observation", "set-aside", 2, 2, 0, ())
    async with admin.tenant.pool.acquire() as connection, connection.transaction():
        await aside.put(connection, admin.tenant, [aside.Failed(event, "twins", "KeyError")])
    try:
        [row] = [r for r in (await admin("GET", "events"))["events"] if "/set-aside/" in r["change"]]
        assert (row["change"], row["consequence"], row["error"], row["again"]) == (
            "Observation/set-aside/_history/2", "twins", "KeyError", False,
        )  # fmt: skip
        refused = await admin("POST", "events/replay", {"ids": ["x"]}, 422)
        assert refused["issue"][0]["expression"] == ["ids"]
        assert await admin("POST", "events/replay", {"ids": ["999999999"]}, 202) == {"replayed": 0}
        assert await admin("POST", "events/replay", {"ids": [row["id"]]}, 202) == {"replayed": 1}
        [row] = [r for r in (await admin("GET", "events"))["events"] if "/set-aside/" in r["change"]]
        assert row["again"]
        assert "events replayed" in await trail(admin)
    finally:
        await admin.tenant.pool.execute(admin.tenant.sql("DELETE FROM {s}.outbox_aside"))


async def test_what_cannot_be_an_id_is_nobodys(admin):
    for id_ in ("%00", "a%00b", "x" * 3000, "%C3%A9"):
        await admin("GET", f"clients/{id_}", status=404)
        await admin("DELETE", f"clients/{id_}", status=404)
        await admin("GET", f"users/{id_}", status=404)
        await admin("PATCH", f"users/{id_}", {"disabled": True}, 404)


async def test_parameters_are_strict_as_well(admin):
    for query in ("clients?pending=maybe", "clients?foo=1", "users?login=a&login=b", "roles?x=1"):
        await admin("GET", query, status=400)
    assert (await admin("GET", "clients?pending=true"))["clients"] == []


@pytest.mark.parametrize("name", ["", "Bank\u202egro", "two\nlines", "x" * 300])
async def test_people_are_shown_plain_names(admin, name, unique):
    await admin("POST", "clients", {"name": name, "scope": "system/*.rs"}, 422)
    if name:
        await admin("POST", "users", {"login": f"n-{unique}", "name": name, "roles": ["auditor"]}, 422)


async def test_keys_come_by_https(admin):
    await admin("POST", "clients", {"name": "S", "scope": "system/*.rs", "jwks_uri": "http://keys.example/set"}, 422)


async def test_who_was_turned_away_without_a_token_is_recorded(admin):
    await Admin(admin.tenant, admin.http, "nonsense")("GET", "clients", status=401)
    assert "administration refused" in await trail(admin)
