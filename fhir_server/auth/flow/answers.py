"""The token response of an app: access token, launch context, id_token, refresh token (SMART App Launch 2.2, OpenID Connect Core).

What was granted is cut again to the registration and the roles of this moment, whether for the first token or the hundredth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fhir_server.auth import launch_scopes
from fhir_server.auth.clients import Client
from fhir_server.auth.flow import refresh, style
from fhir_server.auth.flow.authorizations import Authorization
from fhir_server.auth.jose import sign
from fhir_server.auth.keys import IDENTITY_ALGORITHM, signing_keys
from fhir_server.auth.oauth_errors import OAuthError
from fhir_server.auth.people import accounts, roles
from fhir_server.auth.people.accounts import Account
from fhir_server.auth.principals import agent_id
from fhir_server.auth.scopes import ScopeError, covers, join, narrow
from fhir_server.auth.tokens import Issued, issue, issuer
from fhir_server.context import Scope
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

__all__ = ["MAX_SECONDS", "Answer", "Authorization", "Granted", "again", "context_of", "first", "granted"]

MAX_SECONDS: Final = 3600
"""SMART: access tokens SHOULD hold an hour at most."""
ID_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Granted:
    """What a grant gives at this moment."""

    account: Account
    resources: tuple[Scope, ...]
    special: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A token response, and what the audit is told."""

    body: dict[str, Any]
    agent: int
    detail: dict[str, str]


async def granted(tenant: Tenant, client: Client, grant: Authorization, asked: str | None = None) -> Granted:
    """Return what the authorization gives now, or the part of it that is asked for; OAuthError when that is more than it gives."""
    account = await accounts.get(tenant, grant.person)
    if account is None or account.disabled:
        raise OAuthError("invalid_grant", "The account of the person is disabled.", client_id=client.client_id)
    resources, special, _ = launch_scopes.split(grant.scope)
    resources = narrow(narrow(resources, client.scopes)[0], roles.rights(account.roles))[0]
    special = tuple(word for word in special if word.partition("?")[0] in client.special or word in client.special)
    if asked:
        resources, special = _part(client, asked, resources, special)
    if not resources and not special:
        raise OAuthError("invalid_grant", "Nothing is left of what was allowed.", client_id=client.client_id)
    return Granted(account, resources, special)


def _part(
    client: Client, asked: str, resources: tuple[Scope, ...], special: tuple[str, ...]
) -> tuple[tuple[Scope, ...], tuple[str, ...]]:
    """Return the part asked for (RFC 6749 §6): it may be less than was granted, not more."""
    try:
        wanted, words = launch_scopes.known(asked)
    except ScopeError as error:
        raise OAuthError("invalid_scope", f"{error}.", client_id=client.client_id) from error
    beyond = [s.text for s in wanted if not any(covers(given, s) for given in resources)]
    beyond += [word for word in words if word not in special]
    if beyond:
        text = (
            f"More than was granted: {', '.join(beyond)[:500]}. Granted: {launch_scopes.written(resources, special)}."
        )
        raise OAuthError("invalid_scope", text, client_id=client.client_id)
    return wanted, words


async def first(tenant: Tenant, client: Client, grant: Authorization, seconds: int) -> Answer:
    """Return the answer to a code."""
    now = await granted(tenant, client, grant)
    body, issued = await _access(tenant, client, grant, now, seconds)
    if "openid" in now.special:
        body["id_token"] = await _id_token(tenant, client, grant, now)
    if refresh.is_wanted(now.special):
        body["refresh_token"] = await refresh.issue(tenant, grant, now.special)
    if dropped := grant.context.get("dropped"):
        body["dropped_scopes"] = dropped
    return await _answer(tenant, client, grant, now, body, {"token": issued.token_id, "by": "code"})


async def again(tenant: Tenant, client: Client, grant: Authorization, seconds: int, asked: str | None) -> Answer:
    """Return the answer to a refresh token: a new one, and an access token for the same or, when asked, for less."""
    now = await granted(tenant, client, grant, asked)
    body, issued = await _access(tenant, client, grant, now, seconds)
    words = tuple(grant.scope.split())
    body["refresh_token"] = await refresh.issue(tenant, grant, words)
    return await _answer(tenant, client, grant, now, body, {"token": issued.token_id, "by": "refresh"})


async def _answer(
    tenant: Tenant, client: Client, grant: Authorization, now: Granted, body: dict[str, Any], detail: dict[str, str]
) -> Answer:
    agent = await agent_id(
        tenant, client.client_id, user=now.account.fhir_user, patient=grant.patient, scope=join(now.resources)
    )
    return Answer(body, agent, detail | {"authorization": grant.id})


async def _access(
    tenant: Tenant, client: Client, grant: Authorization, now: Granted, seconds: int
) -> tuple[dict[str, Any], Issued]:
    seconds = min(seconds, MAX_SECONDS)
    issued = await issue(
        tenant, client.client_id, now.resources, seconds=seconds, patient=grant.patient, user=now.account.fhir_user,
        special=now.special, grant=grant.id, subject=grant.person,
    )  # fmt: skip
    body: dict[str, Any] = {
        "access_token": issued.text, "token_type": "Bearer", "expires_in": seconds,
        "scope": launch_scopes.written(now.resources, now.special),
    }  # fmt: skip
    return body | context_of(tenant, grant), issued


def context_of(tenant: Tenant, grant: Authorization) -> dict[str, Any]:
    """Return the launch context as parameters of a token response, or of an introspection."""
    kept = grant.context
    found: dict[str, Any] = {"tenant": tenant.name, "smart_style_url": style.url(tenant)}
    if grant.patient:
        found |= {"patient": grant.patient, "need_patient_banner": kept.get("need_patient_banner", True)}
    for name in ("encounter", "fhirContext", "intent"):
        if kept.get(name):
            found[name] = kept[name]
    return found


async def _id_token(tenant: Tenant, client: Client, grant: Authorization, now: Granted) -> str:
    key, at = (await signing_keys(tenant)).identity, int(clock.seconds())
    claims: dict[str, Any] = {
        "iss": issuer(tenant), "sub": grant.person, "aud": client.client_id, "iat": at, "exp": at + ID_SECONDS,
        "auth_time": grant.context.get("auth_time", at),
    }  # fmt: skip
    if nonce := grant.context.get("nonce"):
        claims["nonce"] = nonce
    if now.account.fhir_user and "fhirUser" in now.special:
        claims["fhirUser"] = f"{tenant.base}/{now.account.fhir_user}"
        claims["profile"] = claims["fhirUser"]
    return sign({"alg": IDENTITY_ALGORITHM, "typ": "JWT", "kid": key.kid}, claims, key)
