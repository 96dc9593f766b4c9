"""Access tokens: signed JWTs (RFC 9068) that name client, scope and context, and hold for minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fhir_server.auth import labels
from fhir_server.auth.clients import BUILT_IN
from fhir_server.auth.jose import TokenError, open_envelope, sign
from fhir_server.auth.keys import ALGORITHM, MAX_TOKEN_SECONDS, signing_keys, verification_key
from fhir_server.auth.launch_scopes import ALERT_RULES, known, written
from fhir_server.auth.scopes import ScopeError
from fhir_server.context import Scope
from fhir_server.kit import clock, ids
from fhir_server.model.references import Local, parse_reference
from fhir_server.storage.reads import read
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING

TYPE: Final = "at+jwt"
CLI: Final = "clarity-cli"
_CLOCK_SKEW = 30
"""Seconds by which the clocks of our own processes may differ; nothing is added to `exp`."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was just made."""

    text: str
    token_id: str
    expires: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    client_id: str
    scope: str
    token_id: str
    expires: int
    patient: str | None
    user: str | None
    grant: str | None = None
    """The authorization of a person that it was issued under."""


def issuer(tenant: Tenant) -> str:
    """Return the address of the tenant's authorization server: what comes before `/fhir`."""
    return tenant.base.removesuffix("/fhir")


def token_url(tenant: Tenant) -> str:
    """Return the token endpoint, which is the `aud` of client assertions."""
    return f"{issuer(tenant)}/oauth2/token"


async def issue(
    tenant: Tenant,
    client_id: str,
    scopes: tuple[Scope, ...],
    *,
    seconds: int,
    patient: str | None = None,
    user: str | None = None,
    special: tuple[str, ...] = (),
    grant: str | None = None,
    subject: str | None = None,
) -> Issued:
    """Sign an access token for this tenant's FHIR base; `grant` and `subject` name the authorization and person behind it."""
    key = (await signing_keys(tenant)).active
    now = int(clock.seconds())
    issued = Issued("", ids.new_id(), now + min(seconds, MAX_TOKEN_SECONDS))
    claims: dict[str, Any] = {
        "iss": issuer(tenant), "aud": tenant.base, "sub": subject or user or client_id, "client_id": client_id,
        "scope": written(scopes, special), "iat": now, "exp": issued.expires, "jti": issued.token_id,
    }  # fmt: skip
    context = (("patient", patient), ("fhirUser", user), ("grant", grant))
    claims.update({name: value for name, value in context if value})
    text = sign({"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}, claims, key)
    return Issued(text, issued.token_id, issued.expires)


async def verify(tenant: Tenant, text: str) -> Claims:
    """Return what the token says; TokenError unless it is ours, for this tenant, whole and in time."""
    envelope = open_envelope(text, algorithms=frozenset({ALGORITHM}), typ=TYPE)
    key = await verification_key(tenant, envelope.kid)
    if key is None:
        raise TokenError("the token was signed by a key that is not, or no longer, one of this server")
    claims = envelope.claims(key)
    if claims.get("iss") != issuer(tenant) or claims.get("aud") != tenant.base:
        raise TokenError(f"the token is not for {tenant.base}")
    now = clock.seconds()
    if _seconds(claims, "exp") <= now:
        raise TokenError("the token has expired; ask for a new one")
    if _seconds(claims, "iat") > now + _CLOCK_SKEW:
        raise TokenError("the token is from the future")
    return Claims(
        _text(claims, "client_id"), _text(claims, "scope"), _text(claims, "jti"), _seconds(claims, "exp"),
        _optional(claims, "patient"), _optional(claims, "fhirUser"), _optional(claims, "grant"),
    )  # fmt: skip


def _seconds(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or value < 0:
        raise TokenError(f"{name} must be a whole number of seconds")
    return value


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise TokenError(f"{name} is missing")
    return value


def _optional(claims: dict[str, Any], name: str) -> str | None:
    return _text(claims, name) if name in claims else None


class MintError(ValueError):
    """A token that cannot be minted; the text says why and what to do."""


async def mint(
    tenant: Tenant, scope: str, *, patient: str | None = None, user: str | None = None, seconds: int = 3600
) -> str:
    """Return an access token for whoever holds this machine's keys (`clarity token`); MintError says what is wrong."""
    try:
        scopes, special = known(scope)
    except ScopeError as error:
        raise MintError(str(error)) from error
    if beyond := [word for word in special if word not in labels.WORDS | {ALERT_RULES}]:
        raise MintError(f"{beyond[0]} means nothing without an app that asks for it")
    _check_levels(scopes, patient, user)
    if patient is not None:
        patient = patient.removeprefix("Patient/")
        stored = await read(tenant, "Patient", patient, EVERYTHING)
        if stored is None or stored.deleted:
            raise MintError(f"there is no Patient/{patient} in tenant {tenant.name}")
    if user is not None and not isinstance(parse_reference(user, tenant.base), Local):
        raise MintError("--user is a reference such as Practitioner/123")
    assert CLI in BUILT_IN
    return (await issue(tenant, CLI, scopes, seconds=seconds, patient=patient, user=user, special=special)).text


def _check_levels(scopes: tuple[Scope, ...], patient: str | None, user: str | None) -> None:
    levels = {scope.level for scope in scopes}
    if not scopes:
        raise MintError("name a scope, such as system/*.rs")
    if "user" in levels and user is None:
        raise MintError("user/ scopes need --user REF, such as Practitioner/123: they reach whom that person cares for")
    if "patient" in levels and patient is None:
        raise MintError("patient/ scopes need --patient ID")
