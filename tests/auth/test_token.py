"""The token endpoint beyond assertions: secrets, grants, scopes, forms (RFC 6749, SMART App Launch 2.2)."""

from __future__ import annotations

import re
import time
from base64 import b64encode, urlsafe_b64encode

import pytest
from argon2 import PasswordHasher

from fhir_server.auth import bearer, clients, decisions, principals, token
from fhir_server.auth.clients import ClientError
from fhir_server.auth.flow import refresh
from fhir_server.auth.flow.authorizations import Authorization, insert
from fhir_server.auth.oauth_errors import OAuthError
from fhir_server.auth.people import accounts
from fhir_server.auth.remote_keys import RemoteKeys
from fhir_server.auth.token import parse_form
from fhir_server.kit import clock, ids, json
from tests.auth.conftest import ASSERTION, Service, key_set, make_key

REMOTE = RemoteKeys()
GRANT = {"grant_type": "client_credentials", "scope": "system/Observation.rs"}


def basic(client_id: str, secret: str) -> str:
    return "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.fixture
async def symmetric(tenant, unique):
    client, secret = await clients.add(
        tenant, name="Symmetric", scope="system/Observation.rs system/Patient.r", client_id=f"sym-{unique}"
    )
    return client, secret


# ---- symmetric clients ----


async def test_basic(tenant, symmetric):
    client, secret = symmetric
    answer = await token.answer(tenant, REMOTE, GRANT, basic(client.client_id, secret))
    assert answer.status == 200, answer.body
    principal = await bearer.authenticate(tenant, f"Bearer {answer.body['access_token']}")
    assert principal.client_id == client.client_id


async def test_post(tenant, symmetric):
    client, secret = symmetric
    form = GRANT | {"client_id": client.client_id, "client_secret": secret}
    assert (await token.answer(tenant, REMOTE, form, None)).status == 200


async def test_basic_is_form_decoded_first(tenant, symmetric):
    client, secret = symmetric
    encoded = client.client_id.replace("-", "%2D")
    assert (await token.answer(tenant, REMOTE, GRANT, basic(encoded, secret))).status == 200


@pytest.mark.parametrize("wrong", ["", "x", "SECRET ", "nobody"])
async def test_wrong_secret(tenant, symmetric, wrong):
    client, secret = symmetric
    name = "nobody" if wrong == "nobody" else client.client_id
    given = secret if wrong == "nobody" else wrong.replace("SECRET", secret)
    answer = await token.answer(tenant, REMOTE, GRANT, basic(name, given))
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    # Whether the client is not there or the secret is wrong: the same words.
    assert answer.body["error_description"] == "The client is not registered with this secret."


async def test_an_unknown_client_takes_as_long(tenant, symmetric, monkeypatch):
    client, _ = symmetric
    hasher = PasswordHasher(time_cost=2, memory_cost=16_384, parallelism=1)  # long enough to measure
    monkeypatch.setattr(clients, "_hasher", hasher)
    monkeypatch.setattr(clients, "_NOBODY", hasher.hash("nobody"))
    await tenant.pool.execute(
        tenant.sql("UPDATE {s}.oauth_client SET secret_hash = $2 WHERE client_id = $1"),
        client.client_id,
        hasher.hash("x"),
    )
    clients._known.pop(tenant)

    async def seconds(name: str) -> float:
        start = time.perf_counter()
        await token.answer(tenant, REMOTE, GRANT, basic(name, "wrong"))
        return time.perf_counter() - start

    known = min([await seconds(client.client_id) for _ in range(3)])
    unknown = min([await seconds("nobody") for _ in range(3)])
    assert 0.4 < known / unknown < 2.5


async def test_a_secret_does_not_work_for_a_client_with_keys(tenant, service):
    answer = await token.answer(tenant, REMOTE, GRANT, basic(service.client_id, "x"))
    assert answer.body["error"] == "invalid_client"


async def test_an_assertion_does_not_work_for_a_client_with_a_secret(service, symmetric):
    client, _ = symmetric
    answer = await service.ask(service.assertion(iss=client.client_id, sub=client.client_id))
    assert "registered with a secret" in answer.body["error_description"]


async def test_the_secret_is_kept_as_a_hash_only(tenant, symmetric):
    client, secret = symmetric
    row = await tenant.pool.fetchrow(
        tenant.sql("SELECT * FROM {s}.oauth_client WHERE client_id = $1"), client.client_id
    )
    assert secret not in str(dict(row))
    assert row["secret_hash"].startswith("$argon2id$")


# ---- one way to authenticate, one grant ----


async def test_two_ways_at_once(tenant, symmetric, service):
    client, secret = symmetric
    forms = [
        (GRANT | {"client_secret": secret, "client_id": client.client_id}, basic(client.client_id, secret)),
        (GRANT | {"client_assertion": "x", "client_assertion_type": ASSERTION}, basic(client.client_id, secret)),
        (GRANT | {"client_assertion": "x", "client_secret": secret}, None),
    ]
    for form, header in forms:
        assert (await token.answer(tenant, REMOTE, form, header)).body["error"] == "invalid_request"


async def test_no_authentication(tenant):
    answer = await token.answer(tenant, REMOTE, GRANT | {"client_id": "someone"}, None)
    assert (answer.status, answer.body["error"]) == (400, "invalid_client")
    assert "RS384" in answer.body["error_description"]


@pytest.mark.parametrize("header", ["Bearer x", "Basic", "Basic !!!", "Basic " + b64encode(b"nocolon").decode(), "x"])
async def test_malformed_authorization(tenant, header):
    assert (await token.answer(tenant, REMOTE, GRANT, header)).body["error"] == "invalid_request"


@pytest.mark.parametrize(
    "kind", [None, "", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", ASSERTION + " "]
)
async def test_assertion_type(service, kind):
    answer = await service.ask(service.assertion(), client_assertion_type=kind or "")
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")
    assert ASSERTION in answer.body["error_description"]


GRANTS = [("authorization_code", "invalid_request"), ("password", "unsupported_grant_type"), ("password", "unsupported_grant_type"),
          ("CLIENT_CREDENTIALS", "unsupported_grant_type"), ("", "invalid_request")]  # fmt: skip


@pytest.mark.smart(251)
@pytest.mark.parametrize(("grant", "error"), GRANTS)
async def test_grant_type(service, grant, error):
    answer = await service.ask(service.assertion(), grant_type=grant)
    assert (answer.status, answer.body["error"]) == (400, error)


# ---- scopes: delegate, never extend; say what was dropped and why ----

SCOPES = [
    ("system/Observation.rs", "system/Observation.rs", {}),
    ("system/Observation.read", "system/Observation.read", {}),
    ("system/Observation.r", "system/Observation.r", {}),
    ("system/Observation.cruds", "system/Observation.rs", {"system/Observation.cruds": "narrowed"}),
    ("system/*.read", "system/Observation.rs system/Patient.r", {"system/*.read": "narrowed"}),
    ("system/Observation.rs system/Practitioner.rs", "system/Observation.rs", {"system/Practitioner.rs": "refused"}),
    ("system/Observation.rs patient/*.rs", "system/Observation.rs", {"patient/*.rs": "no patient context"}),
    ("system/Observation.rs user/*.rs", "system/Observation.rs", {"user/*.rs": "no user"}),
    ("system/Observation.rs?category=laboratory", "system/Observation.rs?category=laboratory", {}),
]


@pytest.mark.smart(241, 250, 259, 260)
@pytest.mark.parametrize(("asked", "granted", "dropped"), SCOPES, ids=[case[0] for case in SCOPES])
async def test_scope(tenant, symmetric, asked, granted, dropped):
    client, secret = symmetric
    answer = await token.answer(tenant, REMOTE, GRANT | {"scope": asked}, basic(client.client_id, secret))
    assert answer.status == 200, answer.body
    assert answer.body["scope"] == granted
    told = answer.body.get("dropped_scopes", {})
    assert told.keys() == dropped.keys()
    assert all(word in told[text] for text, word in dropped.items())
    principal = await bearer.authenticate(tenant, f"Bearer {answer.body['access_token']}")
    assert " ".join(scope.text for scope in principal.scopes) == granted


NOTHING_LEFT = ["system/Practitioner.rs", "patient/*.rs", "user/*.cruds", "system/Observation.d", "",
                "system/Observation.sr", "launch openid", "system/Observation.rs\\", 'system/Observation.rs"']  # fmt: skip


@pytest.mark.smart(240, 250)
@pytest.mark.parametrize("asked", NOTHING_LEFT)
async def test_scope_refused(tenant, symmetric, asked):
    client, secret = symmetric
    form = {name: value for name, value in (GRANT | {"scope": asked}).items() if value}
    answer = await token.answer(tenant, REMOTE, form, basic(client.client_id, secret))
    assert (answer.status, answer.body["error"]) == (400, "invalid_scope")
    # RFC 6749 §5.2: printable ASCII without quote and backslash.
    assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", answer.body["error_description"])


@pytest.mark.smart(252)
async def test_the_refusal_says_what_the_client_has(tenant, symmetric):
    client, secret = symmetric
    answer = await token.answer(
        tenant, REMOTE, GRANT | {"scope": "system/Practitioner.rs"}, basic(client.client_id, secret)
    )
    assert "system/Practitioner.rs: refused" in answer.body["error_description"]
    assert "registered for system/Observation.rs system/Patient.r" in answer.body["error_description"]


# ---- the audit is told ----


async def test_what_the_audit_is_told(service):
    good = await service.ask(service.assertion())
    assert good.agent > 0
    assert good.detail.keys() == {"token"}
    assert good.body["access_token"] not in str(good.detail)
    bad = await service.ask(service.assertion(aud="x"))
    assert bad.agent > 0
    assert bad.detail["client"] == service.client_id
    unknown = await service.ask(service.assertion(iss="nobody", sub="nobody"))
    assert (unknown.agent, unknown.detail["client"]) == (0, "nobody")


# ---- forms ----

FORMS = [
    ("application/json", b'{"grant_type":"client_credentials"}'),
    ("", b"grant_type=client_credentials"),
    ("multipart/form-data; boundary=x", b"--x"),
    (token.MEDIA_TYPE, b"scope=a&scope=b"),
    (token.MEDIA_TYPE, b"a=" + b"x" * 40_000),
    (token.MEDIA_TYPE, b"&".join(b"p%d=1" % i for i in range(100))),
    (token.MEDIA_TYPE, b"a=%ff"),
    (token.MEDIA_TYPE, "a=\u00e9".encode()),
]


@pytest.mark.parametrize(("kind", "body"), FORMS, ids=range(len(FORMS)))
def test_form_refused(kind, body):
    with pytest.raises(OAuthError) as caught:
        parse_form(kind, body)
    assert caught.value.error == "invalid_request"


def test_a_parameter_without_value_counts_as_left_out():
    assert parse_form(token.MEDIA_TYPE + "; charset=UTF-8", b"a=&b=c%20d+e") == {"b": "c d e"}


# ---- registration ----

_MODULUS = urlsafe_b64encode(bytes([0xC1]) + b"\x01" * 127).decode().rstrip("=")
WEAK = f'{{"keys":[{{"kty":"RSA","kid":"weak","e":"AQAB","n":"{_MODULUS}"}}]}}'
"""A modulus of 1,024 bits."""

BAD_SETS = [
    ("[]", "JWK set"),
    ("{}", "JWK set"),
    ('{"keys":[]}', "1 to 20"),
    ("not json", "not JSON"),
    ('{"keys":[{"kty":"oct","k":"AAAA","kid":"1"}]}', "private or symmetric"),
    ('{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"1"}]}', "kty must be"),
    ('{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"1"}]}', "2048"),
    ('{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}', "kid"),
    ('{"keys":[5]}', "kid"),
]


@pytest.mark.parametrize(("text", "why"), BAD_SETS, ids=range(len(BAD_SETS)))
async def test_key_sets_that_are_refused(tenant, text, why):
    with pytest.raises(ClientError, match=why):
        await clients.add(tenant, name="x", scope="system/*.rs", jwks=text)


@pytest.mark.smart(297, 305)
async def test_weak_private_and_doubled_keys_are_refused(tenant, rsa, ec):
    private = json.encode({"keys": [dict(rsa.as_dict(private=True))]})
    same = make_key("EC", "ec-1")
    encrypting = make_key("EC", "enc")
    cases = [
        (private, "private"),
        (WEAK, "2048"),
        (key_set(make_key("EC", "small", "P-256")), "P-384"),
        (key_set(ec, same), "same kid"),
        (key_set(encrypting).replace('"kid"', '"use":"enc","kid"'), "use"),
    ]
    for text, why in cases:
        with pytest.raises(ClientError, match=why):
            await clients.add(tenant, name="x", scope="system/*.rs", jwks=text)


async def test_the_same_kid_with_another_kty_is_another_key(tenant):
    text = key_set(make_key("EC", "one"), make_key("RSA", "one"))
    client, _ = await clients.add(tenant, name="x", scope="system/*.rs", jwks=text)
    assert client.method == "private_key_jwt"


@pytest.mark.parametrize("scope", ["", "system/Patient.sr", "email", "Patient/*.rs"])
async def test_scopes_that_cannot_be_registered(tenant, scope):
    with pytest.raises(ClientError):
        await clients.add(tenant, name="x", scope=scope)


@pytest.mark.parametrize("client_id", ["clarity-cli", "clarity-worker", "a b", "x" * 65, "-x", "a/b", "\u0660"])
async def test_ids_that_cannot_be_registered(tenant, client_id):
    with pytest.raises(ClientError):
        await clients.add(tenant, name="x", scope="system/*.rs", client_id=client_id)


async def test_an_id_is_registered_once(tenant, symmetric):
    with pytest.raises(ClientError, match="already"):
        await clients.add(tenant, name="x", scope="system/*.rs", client_id=symmetric[0].client_id)


async def test_list_and_remove(tenant, symmetric):
    client, secret = symmetric
    assert client.client_id in [each.client_id for each in await clients.listed(tenant)]
    assert (await token.answer(tenant, REMOTE, GRANT, basic(client.client_id, secret))).status == 200
    elsewhere = tenant.sql("DELETE FROM {s}.oauth_client WHERE client_id = $1")  # by another process than this one
    await tenant.pool.execute(elsewhere, client.client_id)
    gone = await token.answer(tenant, REMOTE, GRANT, basic(client.client_id, secret))
    assert gone.body["error"] == "invalid_client", "nobody is remembered where tokens are asked for"
    await clients.add(tenant, name="again", scope="system/*.rs", client_id=client.client_id)
    assert await clients.remove(tenant, client.client_id)
    assert not await clients.remove(tenant, client.client_id)
    answer = await token.answer(tenant, REMOTE, GRANT, basic(client.client_id, secret))
    assert answer.body["error"] == "invalid_client"


@pytest.mark.parametrize("hostile", ["app\x00", "\x00", "\ud7ff\uffff", "a" * 65, "a' or '1", "-", "é"])
async def test_what_cannot_be_a_client_id_is_refused_and_breaks_nothing(tenant, ec, hostile):
    """Ids come from strangers: PostgreSQL takes no U+0000, and an error there would be a 500 before any authentication."""
    assert await clients.get(tenant, hostile) is None
    form = {"grant_type": "client_credentials", "client_id": hostile, "client_secret": "x\x00"}
    posted = await token.answer(tenant, RemoteKeys(), form, None)
    assert (posted.status, posted.body["error"], posted.agent) == (400, "invalid_client", 0)
    header = "Basic " + b64encode(f"{hostile}:\x00".encode()).decode()
    basic = await token.answer(tenant, RemoteKeys(), {"grant_type": "client_credentials"}, header)
    assert (basic.status, basic.body["error"]) == (401, "invalid_client")
    service = Service(tenant, hostile, ec, "ES384")
    asserted = await service.ask(service.assertion())
    assert (asserted.status, asserted.body["error"]) == (400, "invalid_client")


@pytest.mark.parametrize("form", [
    {"client_secret": "x", "client_assertion": "y"},
    {"client_assertion": "y", "client_assertion_type": "other"},
    {"client_secret": "wrong"},
    {"grant_type": "password"},
], ids=str)  # fmt: skip
async def test_who_was_refused_is_known_to_the_audit_by_number(tenant, symmetric, form):
    client, _ = symmetric
    number = await principals.agent_id(tenant, client.client_id, user=None, patient=None, scope="")
    answer = await token.answer(tenant, REMOTE, {"client_id": client.client_id, **form}, None)
    assert (answer.agent, answer.detail["client"]) == (number, client.client_id)
    answer = await token.answer(tenant, REMOTE, form, basic(client.client_id, "wrong"))
    assert answer.agent == number


async def test_who_is_no_client_now_is_named_and_nobody_is_not(tenant, symmetric, service):
    client, secret = symmetric
    await decisions.set_disabled(tenant, client.client_id, disabled=True)
    refused = await token.answer(tenant, REMOTE, GRANT, basic(client.client_id, secret))
    assert refused.status == 401
    assert refused.agent > 0
    assertion = service.assertion(header=service.header(typ="x"))
    form = GRANT | {"client_assertion_type": ASSERTION, "client_assertion": assertion}
    assert (await token.answer(tenant, REMOTE, form, None)).agent > 0
    for nobody in ("nobody", "a\x00b", "x" * 5000):
        assert (await token.answer(tenant, REMOTE, GRANT | {"client_id": nobody}, None)).agent == 0


async def test_a_client_of_a_removed_ones_name_inherits_nothing(tenant, unique, system):
    async def add(name: str) -> None:
        scope, places = "patient/*.rs offline_access", [f"https://{name}.example/cb"]
        await clients.add(
            tenant, name=name, scope=scope, client_id=f"again-{unique}", public=True, redirect_uris=places
        )

    await add("one")
    patient = (await system.post("Patient", {"resourceType": "Patient"})).id
    account = await accounts.add(
        tenant, login=f"again-{unique}", password="long enough, too", roles=["patient"], fhir_user=f"Patient/{patient}"
    )
    grant = Authorization(
        ids.new_id(), f"again-{unique}", account.id, b"s", "patient/*.rs offline_access", patient, {}, clock.now()
    )
    async with tenant.pool.acquire() as connection:
        await insert(connection, tenant, grant)
    kept = await refresh.issue(tenant, grant, ("offline_access",))
    assert await clients.remove(tenant, f"again-{unique}")
    await add("two")
    form = {"grant_type": "refresh_token", "refresh_token": kept, "client_id": f"again-{unique}"}
    answer = await token.answer(tenant, REMOTE, form, None)
    assert (answer.status, answer.body["error"]) == (400, "invalid_grant")
