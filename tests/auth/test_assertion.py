"""private_key_jwt against every row of the table in reference/security.md §1.9, and attacks 61 to 65 and 69."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections import Counter

import pytest

from fhir_server.auth import clients
from fhir_server.auth.tokens import token_url
from fhir_server.kit import clock, ids, json
from tests.auth.conftest import Service, key_set, make_key, signed


def reason(answer):
    assert answer.status == 400, answer.body
    assert answer.body["error"] == "invalid_client"
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.body["error_description"]


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


# ---- accepted ----


@pytest.mark.smart(249, 257, 261, 262, 297, 310, 326, 335)
async def test_rs384_is_accepted(service):
    answer = await service.ask(service.assertion())
    assert answer.status == 200, answer.body
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["scope"] == "system/Observation.rs"
    assert answer.body["expires_in"] == 300
    assert answer.headers == {"Cache-Control": "no-store", "Pragma": "no-cache"}


@pytest.mark.smart(310)
async def test_es384_is_accepted(service, ec):
    service.key, service.alg = ec, "ES384"
    assert (await service.ask(service.assertion())).status == 200


async def test_aud_as_a_list_of_just_us_is_accepted(service, tenant):
    assert (await service.ask(service.assertion(aud=[token_url(tenant)]))).status == 200


async def test_exactly_five_minutes_is_accepted(service):
    assert (await service.ask(service.assertion(exp=int(clock.seconds()) + 300))).status == 200


# ---- refused: what the claims say ----

CLAIMS = [
    ("exp in a year", {"exp": 31_536_000}, "300 at most"),
    ("exp in 302 seconds", {"exp": 302}, "300 at most"),
    ("expired 30 s ago", {"exp": -30}, "expired 30 seconds ago"),
    ("expires this second", {"exp": 0}, "expired"),
    ("iat in the future", {"iat": 120}, "iat is in the future"),
    ("nbf in the future", {"nbf": 120}, "nbf is in the future"),
]


@pytest.mark.smart(249, 335)
@pytest.mark.parametrize(("_name", "times", "why"), CLAIMS, ids=[case[0] for case in CLAIMS])
async def test_times(service, _name, times, why):
    now = int(clock.seconds())
    answer = await service.ask(service.assertion(**{name: now + seconds for name, seconds in times.items()}))
    assert why in reason(answer)


RAW_TIMES = ['"1e10"', "1.5", "1e400", "-1", "null", "true", "[]", "99999999999999999999", "NaN", "253402300800"]


@pytest.mark.parametrize("raw", RAW_TIMES)
async def test_exp_is_a_plain_whole_number(service, raw):
    payload = json.encode(service.claims()).decode()
    exp = str(service.claims()["exp"])
    body = payload.replace(f'"exp":{exp}', f'"exp":{raw}').encode()
    assert raw.encode() in body
    reason(await service.ask(signed(service.key, service.header(), body)))


async def test_exp_missing(service):
    assert "exp must be" in reason(await service.ask(service.assertion(exp=None)))


OTHERS = [
    ("aud elsewhere", {"aud": "https://elsewhere.example/token"}, "aud must be the token endpoint"),
    ("aud is the FHIR base", {"aud": "http://clarity.test/fhir"}, "aud must be the token endpoint"),
    ("aud missing", {"aud": None}, "aud must be the token endpoint"),
    ("aud with a foreign member", {"aud": ["FOREIGN"]}, "aud must be the token endpoint"),
    ("sub differs", {"sub": "someone"}, "iss and sub"),
    ("sub missing", {"sub": None}, "iss and sub"),
    ("iss and sub missing", {"iss": None, "sub": None}, "iss and sub"),
    ("iss a list", {"iss": ["a"], "sub": ["a"]}, "iss and sub"),
    ("unknown client", {"iss": "nobody", "sub": "nobody"}, "no client nobody is registered"),
    ("client of another tenant or a built-in", {"iss": "clarity-worker", "sub": "clarity-worker"}, "no client"),
    ("jti missing", {"jti": None}, "jti must be"),
    ("jti empty", {"jti": ""}, "jti must be"),
    ("jti a number", {"jti": 5}, "jti must be"),
    ("jti endless", {"jti": "x" * 300}, "jti must be"),
]


@pytest.mark.smart(249, 335, 337, 340)
@pytest.mark.parametrize(("_name", "claims", "why"), OTHERS, ids=[case[0] for case in OTHERS])
async def test_claims(service, tenant, _name, claims, why):
    if claims.get("aud") == ["FOREIGN"]:
        claims = {"aud": [token_url(tenant), "https://elsewhere.example"]}
    assert why in reason(await service.ask(service.assertion(**claims)))


async def test_the_expected_aud_is_named(service, tenant):
    assert token_url(tenant) in reason(await service.ask(service.assertion(aud="x")))


async def test_a_trailing_slash_is_another_aud(service, tenant):
    reason(await service.ask(service.assertion(aud=token_url(tenant) + "/")))


@pytest.mark.smart(337)
async def test_form_client_id_must_be_the_same(service):
    assert "client_id in the form" in reason(await service.ask(service.assertion(), client_id="other"))


async def test_duplicate_claims(service):
    body = json.encode(service.claims())
    reason(await service.ask(signed(service.key, service.header(), b'{"aud":"x",' + body[1:])))


# ---- refused: algorithms and keys ----


@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS384"])
async def test_other_rsa_algorithms(service, alg):
    assert "alg must be ES384 or RS384" in reason(await service.ask(service.assertion(header=service.header(alg=alg))))


async def test_es256(service):
    key = make_key("EC", "ec-1", "P-256")
    reason(await service.ask(service.assertion(key=key, header=service.header(alg="ES256", kid="ec-1"))))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "nOnE"])
async def test_alg_none(service, alg):
    head = b64(json.encode({"alg": alg, "typ": "JWT", "kid": service.key.kid}))
    body = b64(json.encode(service.claims()))
    for text in (f"{head}.{body}.", f"{head}.{body}.AA", f"{head}.{body}"):
        reason(await service.ask(text))


async def test_hmac_with_the_public_key(service, rsa):
    for secret in (rsa.as_pem(private=False), json.encode(rsa.as_dict(private=False))):
        reason(await service.ask(signed(secret, service.header(alg="HS384"), json.encode(service.claims()))))


async def test_signature_of_another_key(service):
    other = make_key("RSA", service.key.kid)
    assert "does not verify" in reason(await service.ask(service.assertion(key=other)))


async def test_signature_of_another_client(service, tenant):
    other = make_key("RSA", "theirs")
    await clients.add(tenant, name="B", scope="system/*.rs", client_id=ids.new_id(), jwks=key_set(other))
    header = service.header(kid="theirs")
    assert "exactly one registered RSA key" in reason(await service.ask(service.assertion(key=other, header=header)))


KIDS = [
    "unknown",
    "../../etc/passwd",
    "' OR 1=1 --",
    "http://169.254.169.254/",
    "ec-1",
    "\u0660",
    "x" * 300,
    "",
    None,
    5,
]


@pytest.mark.smart(338)
@pytest.mark.parametrize("kid", KIDS)
async def test_kid(service, kid):
    # "ec-1" is registered, but as an EC key: kid and kty must both fit.
    reason(await service.ask(service.assertion(header=service.header(kid=kid))))


async def test_the_registered_keys_are_named(service):
    text = reason(await service.ask(service.assertion(header=service.header(kid="unknown"))))
    assert "RSA rsa-1" in text
    assert "EC ec-1" in text


@pytest.mark.parametrize("typ", [None, "at+jwt", "jwt", "", 5])
async def test_typ(service, typ):
    assert "typ must be JWT" in reason(await service.ask(service.assertion(header=service.header(typ=typ))))


INJECTED = [
    {"crit": ["exp"]},
    {"crit": ["b64"], "b64": False},
    {"b64": False},
    {"jwk": "PUBLIC"},
    {"x5u": "https://evil.example/cert"},
    {"x5c": ["MIIB"]},
    {"x5t": "AAAA"},
    {"zip": "DEF"},
    {"cty": "JWT"},
    {"jku": "https://evil.example/jwks"},
    {"jku": 5},
]


@pytest.mark.smart(338)
@pytest.mark.parametrize("extra", INJECTED, ids=[str(e) for e in INJECTED])
async def test_header_injection(service, extra):
    attacker = make_key("RSA", service.key.kid)
    if extra.get("jwk"):
        extra = {"jwk": dict(attacker.as_dict(private=False))}
    for key in (service.key, attacker):
        reason(await service.ask(signed(key, service.header(**extra), json.encode(service.claims()))))


SHAPES = [
    "", ".", "..", "a.b", "a.b.c.d", "a.b.c.d.e", ".".join(["a"] * 10_000), "a" * 1_000_000,
    "\u0660.b.c", "a b.c.d", "eyJhbGciOiJub25lIn0.e30.", "%00.%00.%00", "W10.W10.W10",
]  # fmt: skip


@pytest.mark.parametrize("text", SHAPES, ids=range(len(SHAPES)))
async def test_shapes(service, text):
    if text:
        reason(await service.ask(text))
    else:
        answer = await service.ask(text)
        assert answer.body["error"] in ("invalid_client", "invalid_request")


async def test_payload_that_is_no_object(service):
    for payload in (b"[]", b"5", b'"x"', b"{", b"\xff", b'{"iss":"' + b"[" * 5000 + b'"}'):
        reason(await service.ask(signed(service.key, service.header(), payload)))


async def test_a_deep_payload(service):
    reason(await service.ask(signed(service.key, service.header(), b'{"a":' * 900 + b"1" + b"}" * 900)))


# ---- replay ----


@pytest.mark.smart(336)
async def test_a_jti_is_used_once(service):
    text = service.assertion()
    assert (await service.ask(text)).status == 200
    assert "jti was used before" in reason(await service.ask(text))
    # A fresh signature does not make the jti fresh.
    jti = ids.new_id()
    assert (await service.ask(service.assertion(jti=jti))).status == 200
    assert "jti was used before" in reason(await service.ask(service.assertion(jti=jti)))


@pytest.mark.smart(336)
async def test_fifty_replays_at_once_give_one_token(service):
    text = service.assertion()
    answers = await asyncio.gather(*(service.ask(text) for _ in range(50)))
    assert Counter(answer.status for answer in answers) == {200: 1, 400: 49}


async def test_a_refused_assertion_spends_no_jti(service):
    jti = ids.new_id()
    reason(await service.ask(service.assertion(jti=jti, aud="wrong")))
    assert (await service.ask(service.assertion(jti=jti))).status == 200


async def test_the_same_jti_of_two_clients_are_two(service, tenant, rsa):
    other_id = ids.new_id()
    await clients.add(tenant, name="B", scope="system/*.rs", client_id=other_id, jwks=key_set(rsa))
    other = Service(tenant, other_id, rsa, "RS384")
    jti = ids.new_id()
    assert (await service.ask(service.assertion(jti=jti))).status == 200
    assert (await other.ask(other.assertion(jti=jti))).status == 200


async def test_an_assertion_for_one_tenant_is_refused_at_another(service, tenants, rsa):
    [other] = [each for each in tenants.values() if each is not service.tenant]
    await clients.add(other, name="same", scope="system/*.rs", client_id=service.client_id, jwks=key_set(rsa))
    there = Service(other, service.client_id, rsa, "RS384")
    assert "aud must be" in reason(await there.ask(service.assertion()))
    assert (await there.ask(there.assertion())).status == 200
