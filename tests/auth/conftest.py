"""Keys, clients and tokens for the tests of this room."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec as ec_curves
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, RSAKey

from fhir_server.auth import clients, principals, token
from fhir_server.auth.remote_keys import RemoteKeys
from fhir_server.auth.scopes import parse_scopes
from fhir_server.auth.token import TokenAnswer
from fhir_server.auth.tokens import token_url
from fhir_server.context import RequestContext
from fhir_server.kit import clock, ids, json
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from tests.rest_fixtures import http, services, system

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def make_key(kty: str, kid: str, size: Any = None) -> Any:
    if kty == "RSA":
        return RSAKey.generate_key(size or 2048, {"kid": kid})
    return ECKey.generate_key(size or "P-384", {"kid": kid})


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """argon2 at its least: what is tested is who gets in, not how long a guess takes."""
    with pytest.MonkeyPatch.context() as patch:
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(clients, "_hasher", hasher)
        patch.setattr(clients, "_NOBODY", hasher.hash("nobody"))
        yield


@pytest.fixture(scope="session")
def rsa() -> RSAKey:
    return make_key("RSA", "rsa-1")


@pytest.fixture(scope="session")
def ec() -> ECKey:
    return make_key("EC", "ec-1")


def key_set(*keys: Any) -> str:
    return json.encode({"keys": [dict(key.as_dict(private=False)) for key in keys]}).decode()


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def signature(key: Any, alg: str, data: bytes) -> bytes:
    """Sign by the letters of RFC 7518, with the primitives themselves: no library's check stands in an attacker's way."""
    digest = HASHES[alg[2:]]
    if alg.startswith("HS"):
        return hmac.new(key, data, digest.name).digest()
    private = key.private_key
    if alg.startswith("RS"):
        return private.sign(data, padding.PKCS1v15(), digest)
    if alg.startswith("PS"):
        return private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    r, s = decode_dss_signature(private.sign(data, ec_curves.ECDSA(digest)))
    size = (private.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def signed(key: Any, header: dict[str, Any], payload: bytes) -> str:
    """Return the compact form of anything under any header."""
    data = f"{_b64(json.encode(header))}.{_b64(payload)}"
    return f"{data}.{_b64(signature(key, header['alg'], data.encode()))}"


@dataclass
class Service:
    """A registered backend service that can ask for tokens, rightly and wrongly."""

    tenant: Tenant
    client_id: str
    key: Any
    alg: str
    remote: RemoteKeys = field(default_factory=lambda: RemoteKeys(loopback=True))

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(clock.seconds())
        made = {
            "iss": self.client_id, "sub": self.client_id, "aud": token_url(self.tenant),
            "iat": now, "exp": now + 120, "jti": ids.new_id(),
        }  # fmt: skip
        made.update(changes)
        return {name: value for name, value in made.items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        made = {"alg": self.alg, "typ": "JWT", "kid": self.key.kid, **changes}
        return {name: value for name, value in made.items() if value is not None}

    def assertion(self, *, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        return signed(key or self.key, header or self.header(), json.encode(self.claims(**claims)))

    async def ask(self, assertion: str, scope: str = "system/Observation.rs", **form: str) -> TokenAnswer:
        parameters = {
            "grant_type": "client_credentials", "client_assertion_type": ASSERTION,
            "client_assertion": assertion, "scope": scope, **form,
        }  # fmt: skip
        return await token.answer(self.tenant, self.remote, {k: v for k, v in parameters.items() if v}, None)


@pytest.fixture
async def service(tenant: Tenant, rsa: RSAKey, ec: ECKey, unique: str) -> Service:
    """A client with an RSA and an EC key, for everything under system/."""
    client_id = f"service-{unique}"
    await clients.add(tenant, name="A service", scope="system/*.cruds", client_id=client_id, jwks=key_set(rsa, ec))
    return Service(tenant, client_id, rsa, "RS384")


@pytest.fixture
def acting(tenant: Tenant) -> Callable[..., Any]:
    """Make a RequestContext for scopes."""

    async def make(scope: str, patient: str | None = None) -> RequestContext:
        principal = await principals.principal(tenant, "test-client", parse_scopes(scope), patient=patient)
        return RequestContext(tenant, principal, ids.request_id(), tenant.base)

    return make


async def store(tenant: Tenant, resource: dict[str, Any], index: IndexRows) -> str:
    """Store a resource by the index rows given; return its id."""
    id_ = resource.get("id") or ids.new_id()
    if resource["resourceType"] == "Patient" and not index.patients:
        index.patients = [id_]
    await commit(tenant, [Command("create", resource["resourceType"], id_, resource, index)])
    return id_


@pytest.fixture
async def patient(tenant: Tenant) -> str:
    """The id of a stored Patient."""
    return await store(tenant, {"resourceType": "Patient"}, IndexRows())


__all__ = ["http", "services", "system"]
