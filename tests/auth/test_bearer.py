"""Access tokens at the door: what is let in, what is 401 (attacks 13 and 61 to 68), and when it ends."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode

import pytest

from fhir_server.auth import bearer, clients, keys, principals, tokens
from fhir_server.auth.bearer import RECHECK_SECONDS, authenticate
from fhir_server.auth.keys import public_jwks, signing_keys
from fhir_server.auth.scopes import parse_scopes
from fhir_server.auth.tokens import MintError, issuer, mint
from fhir_server.errors import Unauthenticated
from fhir_server.kit import clock, json
from tests.auth.conftest import make_key, signed


@pytest.fixture
def later(monkeypatch):
    """Move both clocks forward."""
    offset = 0.0
    seconds, monotonic = clock.seconds, clock.monotonic
    monkeypatch.setattr(clock, "seconds", lambda: seconds() + offset)
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + offset)

    def forward(by: float) -> None:
        nonlocal offset
        offset += by

    return forward


async def refused(tenant, header) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        await authenticate(tenant, header)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith(f'Bearer realm="{tenant.base}"')
    return caught.value


async def test_a_token_says_who_and_what(tenant, patient):
    token = await mint(tenant, "patient/*.rs system/Device.r", patient=patient, user="Practitioner/p1")
    principal = await authenticate(tenant, f"Bearer {token}")
    assert principal.client_id == "clarity-cli"
    assert [scope.text for scope in principal.scopes] == ["patient/*.rs", "system/Device.r"]
    assert (principal.patient, principal.user) == (patient, "Practitioner/p1")
    assert principal.patient_rid is not None
    assert principal.agent > 0
    assert principal.expires > clock.seconds()


async def test_the_second_time_comes_from_memory(tenant, monkeypatch):
    token = await mint(tenant, "system/*.rs")
    first = await authenticate(tenant, f"Bearer {token}")
    monkeypatch.setattr(tokens, "verify", None)
    assert await authenticate(tenant, f"Bearer {token}") is first


async def test_the_scheme_is_read_without_regard_to_case(tenant):
    await authenticate(tenant, f"bearer  {await mint(tenant, 'system/*.rs')} ")


async def test_memory_holds_no_token(tenant):
    token = await mint(tenant, "system/*.rs")
    await authenticate(tenant, f"Bearer {token}")
    remembered = bearer._verified[tenant]
    assert token not in repr(remembered)
    assert all(len(digest) == 32 for digest in remembered)


async def test_memory_is_bounded(tenant, monkeypatch):
    monkeypatch.setattr(bearer, "MAX_REMEMBERED", 4)
    bearer._verified.pop(tenant, None)
    issued = [await mint(tenant, "system/*.rs") for _ in range(9)]
    for token in issued:
        await authenticate(tenant, f"Bearer {token}")
        assert len(bearer._verified[tenant]) <= 4


HEADERS = [
    None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token x", "Bearer a b", "Bearer a,Bearer b",
    "Bearer a, Basic b", "Bearer \u00e9", "Bearer x\r\nX-Evil: 1", "Bearer " + "a" * 1_000_000, "Bearer ../../..",
    "Bearer {}", 'Bearer "x"', "BearerX abc",
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
async def test_headers(tenant, header):
    await refused(tenant, header)


@pytest.mark.smart(247)
async def test_no_token_no_error_code(tenant):
    # RFC 6750 §3.1: a request without authentication gets the challenge and no error code.
    error = await refused(tenant, None)
    assert "error=" not in error.headers["WWW-Authenticate"]
    assert 'error="invalid_token"' in (await refused(tenant, "Bearer a.b.c")).headers["WWW-Authenticate"]


async def claims_of(tenant, **changes):
    now = int(clock.seconds())
    made = {
        "iss": issuer(tenant), "aud": tenant.base, "sub": "clarity-cli", "client_id": "clarity-cli",
        "scope": "system/*.rs", "iat": now, "exp": now + 60, "jti": "1", **changes,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


async def forged(tenant, header=None, claims=None, key=None):
    active = (await signing_keys(tenant)).active
    head = {"alg": "ES384", "typ": "at+jwt", "kid": active.kid, **(header or {})}
    head = {name: value for name, value in head.items() if value is not None}
    return signed(key or active, head, json.encode(await claims_of(tenant, **(claims or {}))))


async def test_the_forger_of_these_tests_can_make_a_good_one(tenant):
    assert (await authenticate(tenant, f"Bearer {await forged(tenant)}")).client_id == "clarity-cli"


CLAIMS = [
    {"iss": "https://evil.example"}, {"iss": None}, {"aud": "https://other.example/fhir"}, {"aud": None},
    {"aud": ["http://clarity.test/fhir"]}, {"exp": None}, {"exp": "9999999999"}, {"exp": True}, {"exp": -5},
    {"exp": 0}, {"iat": None}, {"iat": "x"}, {"client_id": None}, {"client_id": ""}, {"client_id": 5},
    {"scope": None}, {"scope": ""}, {"scope": 5}, {"scope": "system/*.rs system/Patient.sr"}, {"jti": None},
    {"patient": 5}, {"patient": ""}, {"fhirUser": []}, {"client_id": "not-registered"},
]  # fmt: skip


@pytest.mark.smart(94, 96, 265)
@pytest.mark.parametrize("claims", CLAIMS, ids=[str(c) for c in CLAIMS])
async def test_claims(tenant, claims):
    await refused(tenant, f"Bearer {await forged(tenant, claims=claims)}")


HEADS = [
    {"typ": "JWT"}, {"typ": None}, {"typ": "AT+JWT"}, {"kid": "other"}, {"kid": None}, {"kid": "../../x"},
    {"crit": ["exp"]}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example"}, {"x5c": ["A"]},
    {"jwk": {"kty": "EC"}}, {"b64": False}, {"zip": "DEF"},
]  # fmt: skip


@pytest.mark.parametrize("header", HEADS, ids=[str(h) for h in HEADS])
async def test_headers_of_tokens(tenant, header):
    await refused(tenant, f"Bearer {await forged(tenant, header=header)}")


async def test_other_algorithms_and_keys(tenant):
    active = (await signing_keys(tenant)).active
    public = active.as_pem(private=False)
    tries = [
        await forged(tenant, {"alg": "HS384"}, key=public),
        await forged(tenant, {"alg": "HS256"}, key=json.encode(dict(active.as_dict(private=False)))),
        await forged(tenant, {"alg": "RS384"}, key=make_key("RSA", active.kid)),
        await forged(tenant, key=make_key("EC", active.kid)),
    ]
    for token in tries:
        await refused(tenant, f"Bearer {token}")
    head = urlsafe_b64encode(json.encode({"alg": "none", "typ": "at+jwt", "kid": active.kid})).decode().rstrip("=")
    body = (await forged(tenant)).split(".")[1]
    for tail in ("", "AA"):
        await refused(tenant, f"Bearer {head}.{body}.{tail}")


async def test_every_changed_character_is_noticed(tenant):
    token = await mint(tenant, "system/*.rs")
    for position in range(0, len(token), 7):
        if token[position] == "." or position == len(token) - 1:
            continue
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        await refused(tenant, f"Bearer {changed}")


async def test_a_client_assertion_is_no_access_token(service):
    await refused(service.tenant, f"Bearer {service.assertion()}")


async def test_a_token_of_another_tenant(tenants):
    one, other = tenants.values()
    token = await mint(one, "system/*.rs")
    await refused(other, f"Bearer {token}")
    # Not even when the key is the same: aud and iss are the tenant's own.
    active = (await signing_keys(one)).active
    head = {"alg": "ES384", "typ": "at+jwt", "kid": active.kid}
    await refused(one, f"Bearer {signed(active, head, json.encode(await claims_of(other)))}")


# ---- when it ends ----


@pytest.mark.smart(77, 94, 265)
async def test_it_expires_on_the_second_also_from_memory(tenant, later):
    token = await mint(tenant, "system/*.rs", seconds=45)
    await authenticate(tenant, f"Bearer {token}")
    later(43)
    await authenticate(tenant, f"Bearer {token}")
    later(3)
    assert "expired" in (await refused(tenant, f"Bearer {token}")).text


async def backend_token(tenant, service, scope="system/Observation.rs"):
    answer = await service.ask(service.assertion(), scope)
    return f"Bearer {answer.body['access_token']}"


async def test_a_removed_client_is_out_within_a_minute(service, tenant, later):
    header = await backend_token(tenant, service)
    await authenticate(tenant, header)
    await clients.remove(tenant, service.client_id)
    later(RECHECK_SECONDS + 1)
    assert "not registered" in (await refused(tenant, header)).text


async def test_scopes_taken_from_the_client_are_gone_within_a_minute(service, tenant, later, rsa):
    header = await backend_token(tenant, service, "system/Observation.rs system/Patient.rs")
    assert len((await authenticate(tenant, header)).scopes) == 2
    await tenant.pool.execute(
        tenant.sql("UPDATE {s}.oauth_client SET scope = 'system/Patient.r' WHERE client_id = $1"), service.client_id
    )
    later(RECHECK_SECONDS + 31)
    assert [scope.text for scope in (await authenticate(tenant, header)).scopes] == ["system/Patient.r"]


async def test_what_acts_later_is_judged_by_what_the_client_has_then(service, tenant, later):
    found = await principals.current_principal(tenant, service.client_id, "system/Observation.rs")
    assert found.scopes == parse_scopes("system/Observation.rs")
    await clients.remove(tenant, service.client_id)
    with pytest.raises(Unauthenticated):
        await principals.current_principal(tenant, service.client_id, "system/Observation.rs")


async def test_workers_act_as_themselves(tenant):
    worker = await principals.worker_principal(tenant)
    assert worker.client_id == "clarity-worker"
    assert worker.agent == (await principals.worker_principal(tenant)).agent


# ---- keys ----


async def test_keys_are_sealed_in_the_database(tenant):
    active = (await signing_keys(tenant)).active
    private = active.as_dict(private=True)["d"]
    rows = await tenant.pool.fetch(tenant.sql("SELECT * FROM {s}.signing_key"))
    assert rows
    assert all(private.encode() not in bytes(row["sealed"]) for row in rows)
    assert "d" not in json.encode(await public_jwks(tenant)).decode().split('"')


async def test_rotation_keeps_tokens_that_are_out(tenant, later):
    old = await mint(tenant, "system/*.rs")
    before = (await signing_keys(tenant)).active.kid
    kid = await keys.rotate(tenant)
    assert kid != before
    new = await mint(tenant, "system/*.rs")
    bearer._verified.pop(tenant, None)
    for token in (old, new):
        await authenticate(tenant, f"Bearer {token}")
    assert {key["kid"] for key in (await public_jwks(tenant))["keys"]} >= {before, kid}


async def test_another_process_finds_a_new_key(tenant, later):
    """The other process has made a key and signed with it; this one has never seen its kid."""
    known = await signing_keys(tenant)
    await keys.rotate(tenant)
    token = await mint(tenant, "system/*.rs")
    keys._known[tenant] = known
    later(2)
    await authenticate(tenant, f"Bearer {token}")


async def test_a_retired_key_ends_when_no_token_of_it_can_be_out(tenant):
    before = (await signing_keys(tenant)).active.kid
    await keys.rotate(tenant)
    await tenant.pool.execute(
        tenant.sql("UPDATE {s}.signing_key SET retired_at = now() - interval '2 days' WHERE kid = $1"), before
    )
    keys._known.pop(tenant)
    assert before not in (await signing_keys(tenant)).verifying


# ---- minting ----

MINTS = [
    ("", {}, "name a scope"),
    ("system/Patient.sr", {}, "order"),
    ("user/*.rs", {}, "--user"),
    ("patient/*.rs", {}, "--patient"),
    ("patient/*.rs", {"patient": "nobody"}, "no Patient/nobody"),
    ("system/*.rs", {"user": "somebody"}, "Practitioner/123"),
]


@pytest.mark.parametrize(("scope", "context", "why"), MINTS)
async def test_what_cannot_be_minted(tenant, scope, context, why):
    with pytest.raises(MintError, match=re.escape(why)):
        await mint(tenant, scope, **context)


async def test_no_token_holds_longer_than_a_day(tenant):
    token = await mint(tenant, "system/*.rs", seconds=10**9)
    assert (await authenticate(tenant, f"Bearer {token}")).expires <= clock.seconds() + 86_401
