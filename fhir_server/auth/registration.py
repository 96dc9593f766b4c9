"""Dynamic registration (RFC 7591, 7592): anybody may ask, an administrator decides. Until then a client is none.

Nothing that is asked for is fetched here, and nothing is shown to people but a name of plain characters.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from fhir_server.auth import clients, decisions
from fhir_server.auth.clients import Asked
from fhir_server.auth.decisions import Registered
from fhir_server.auth.launch_scopes import OURS
from fhir_server.auth.oauth_errors import is_plain, printable
from fhir_server.auth.redirects import ClientError, checked_redirects, checked_url
from fhir_server.auth.tokens import issuer
from fhir_server.errors import FhirError
from fhir_server.kit import clock, json
from fhir_server.kit.addresses import Reach
from fhir_server.storage.tenants import Tenant

MAX_BODY: Final = 32_768
MOST_PENDING: Final = 200
"""So many wait at most: what strangers can write is bounded."""
PENDING_DAYS: Final = 30
_MAX_NAME: Final = 80
_MAX_CONTACT: Final = 120
_MOST_CONTACTS: Final = 5
_GRANTS: Final = frozenset({"authorization_code", "refresh_token", "client_credentials"})
_METHODS: Final = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
_BEARER: Final = re.compile(r"[Bb]earer ([A-Za-z0-9_-]{43})")


@dataclass
class RegistrationError(Exception):
    """A registration that is refused, as RFC 7591 §3.2.2 has it."""

    error: str
    description: str
    status: int = 400
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, str]:
        """Return the JSON object of the answer."""
        return {"error": self.error, "error_description": self.description[:2000]}


def _wrong(text: str) -> RegistrationError:
    return RegistrationError("invalid_client_metadata", text)


async def ask(tenant: Tenant, data: bytes, *, loopback: bool, address: str | None = None) -> dict[str, Any]:
    """Take a registration request; return the client as it waits, with its secret and its registration token, shown this once."""
    asked = _metadata(data)
    if await decisions.waiting(tenant) >= MOST_PENDING:
        text = "Too many clients wait for an administrator already; try again when some were decided."
        raise RegistrationError("temporarily_unavailable", text, 503, {"Retry-After": "86400"})
    grants, method = _grants(asked), _method(asked)
    redirects = _redirects(asked, grants)
    jwks, jwks_uri = _keys(asked, method, loopback=loopback)
    token = secrets.token_urlsafe(32)
    by = Asked(_digest(token), _contacts(asked), _uri(asked), address)
    try:
        client, secret = await clients.add(
            tenant, name=_name(asked), scope=_scope(asked, grants), jwks=jwks, jwks_uri=jwks_uri, public=method == "none",
            redirect_uris=redirects, launch_url=_text(asked, "launch_url"), asked=by,
        )  # fmt: skip
    except ClientError as error:
        raise _wrong(f"The registration is refused: {error}.") from error
    hours = {"client_secret": secret, "client_secret_expires_at": 0} if secret else {}
    return (
        _shown(tenant, Registered(client, "pending", clock.now(), by, None))
        | {
            "token_endpoint_auth_method": method,
            "grant_types": sorted(grants),
            "client_id_issued_at": int(clock.seconds()),
        }
        | hours
        | {"registration_access_token": token}
    )


async def look(tenant: Tenant, client_id: str, authorization: str | None) -> dict[str, Any]:
    """Return a client to who registered it (RFC 7592 §2.1), and whether an administrator has decided."""
    return _shown(tenant, await _own(tenant, client_id, authorization))


async def take_back(tenant: Tenant, client_id: str, authorization: str | None) -> None:
    """Remove a client for who registered it (RFC 7592 §2.3)."""
    await _own(tenant, client_id, authorization)
    await clients.remove(tenant, client_id)


async def forget_old(tenant: Tenant) -> None:
    """Forget what nobody has decided in a month, and what was refused."""
    text = "DELETE FROM {s}.oauth_client WHERE pending AND created_at < $1"
    await tenant.pool.execute(tenant.sql(text), clock.now() - timedelta(days=PENDING_DAYS))


async def _own(tenant: Tenant, client_id: str, authorization: str | None) -> Registered:
    found, matched = await decisions.registered(tenant, client_id), _BEARER.fullmatch(authorization or "")
    expected = found.asked.token if found is not None and found.asked is not None else None
    given = _digest(matched[1]) if matched else b""
    if found is None or expected is None or not hmac.compare_digest(expected, given):
        challenge = {"WWW-Authenticate": f'Bearer realm="{tenant.base}", error="invalid_token"'}
        text = "Send the registration_access_token that this client got when it registered."
        raise RegistrationError("invalid_token", text, 401, challenge)
    return found


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _shown(tenant: Tenant, found: Registered) -> dict[str, Any]:
    client, by = found.client, found.asked
    shown: dict[str, Any] = {
        "client_id": client.client_id, "client_name": client.name, "scope": client.scope,
        "redirect_uris": list(client.redirect_uris),
        "registration_client_uri": f"{issuer(tenant)}/oauth2/register/{client.client_id}",
        "registration_status": found.status,
    }  # fmt: skip
    if found.refusal is not None:
        shown["registration_reason"] = found.refusal
    if by is not None and by.contacts:
        shown["contacts"] = list(by.contacts)
    if by is not None and by.uri:
        shown["client_uri"] = by.uri
    if client.redirect_uris:
        shown["response_types"] = ["code"]
    if client.jwks:
        shown["jwks"] = json.decode_trusted(client.jwks.encode())
    for name in ("jwks_uri", "launch_url"):
        if getattr(client, name):
            shown[name] = getattr(client, name)
    return shown


# ---- what may be asked for ----


def _metadata(data: bytes) -> Mapping[str, Any]:
    try:
        asked = json.decode(data)
    except FhirError as error:
        raise _wrong("Send a JSON object of client metadata (RFC 7591 §2).") from error
    if not isinstance(asked, dict):
        raise _wrong("Send a JSON object of client metadata (RFC 7591 §2).")
    if "software_statement" in asked:
        text = "Software statements of others are not known here: send the metadata without one."
        raise RegistrationError("unapproved_software_statement", text)
    return asked


def _text(asked: Mapping[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(f"{name} is a text.")
    return value


def _texts(asked: Mapping[str, Any], name: str, default: list[str]) -> list[str]:
    value = asked.get(name, default)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(f"{name} is an array of texts.")
    return value


def _contacts(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Return whom to ask about the client (RFC 7591 §2): said by who asks, proved by nobody."""
    found = _texts(asked, "contacts", [])
    if len(found) > _MOST_CONTACTS or not all(is_plain(each, _MAX_CONTACT) for each in found):
        raise _wrong(f"contacts are up to {_MOST_CONTACTS} texts of 1 to {_MAX_CONTACT} visible characters.")
    return tuple(found)


def _uri(asked: Mapping[str, Any]) -> str | None:
    uri = _text(asked, "client_uri")
    return None if uri is None else _checked(uri, "client_uri")


def _checked(uri: str, what: str) -> str:
    try:
        return checked_url(uri, what)
    except ClientError as error:
        raise _wrong(f"The registration is refused: {error}.") from error


def _name(asked: Mapping[str, Any]) -> str:
    """Return the name that people will be shown."""
    name = (_text(asked, "client_name") or "").strip()
    if not is_plain(name, _MAX_NAME):
        raise _wrong(f"client_name has 1 to {_MAX_NAME} visible characters: people are shown it when they decide.")
    return name


def _grants(asked: Mapping[str, Any]) -> frozenset[str]:
    grants = frozenset(_texts(asked, "grant_types", ["authorization_code"]))
    if unknown := sorted(grants - _GRANTS):
        raise _wrong(f"grant_types are of {', '.join(sorted(_GRANTS))}; not {printable(unknown[0])}.")
    if not grants & {"authorization_code", "client_credentials"}:
        raise _wrong("refresh_token comes with authorization_code.")
    types = _texts(asked, "response_types", ["code"] if "authorization_code" in grants else [])
    if set(types) - {"code"}:
        raise _wrong("response_types can only be code.")
    return grants


def _method(asked: Mapping[str, Any]) -> str:
    method = _text(asked, "token_endpoint_auth_method") or "client_secret_basic"
    if method not in _METHODS:
        raise _wrong(f"token_endpoint_auth_method is one of {', '.join(_METHODS)}.")
    return method


def _redirects(asked: Mapping[str, Any], grants: frozenset[str]) -> list[str]:
    uris = _texts(asked, "redirect_uris", [])
    if "authorization_code" in grants and not uris:
        raise RegistrationError("invalid_redirect_uri", "authorization_code needs redirect_uris.")
    if "authorization_code" not in grants and uris:
        raise RegistrationError("invalid_redirect_uri", "redirect_uris go with the grant authorization_code only.")
    try:
        return list(checked_redirects(uris))
    except ClientError as error:
        raise RegistrationError("invalid_redirect_uri", f"The registration is refused: {error}.") from error


def _keys(asked: Mapping[str, Any], method: str, *, loopback: bool) -> tuple[str | None, str | None]:
    """Return the JWK set, or where it will be fetched when it is first needed: by the guard, from public addresses."""
    jwks, uri = asked.get("jwks"), _text(asked, "jwks_uri")
    if (method == "private_key_jwt") != (jwks is not None or uri is not None) or (jwks is not None and uri is not None):
        raise _wrong("private_key_jwt, and nothing else, comes with one of jwks and jwks_uri.")
    if uri is not None:
        parts = urlsplit(_checked(uri, "jwks_uri"))
        if not Reach(loopback=loopback).permits(parts.scheme, parts.hostname or ""):
            raise _wrong("jwks_uri is https.")
    return None if jwks is None else json.encode(jwks).decode(), uri


def _scope(asked: Mapping[str, Any], grants: frozenset[str]) -> str:
    words = (_text(asked, "scope") or "").split()
    if not words:
        raise _wrong("Name the scope that the client will ask for at most, such as launch/patient patient/*.rs.")
    if ours := sorted(OURS & set(words)):
        raise _wrong(f"{ours[0]} is given by the administrator of this server, not asked for.")
    if "client_credentials" not in grants and any(word.startswith("system/") for word in words):
        raise _wrong("system/ scopes go with the grant client_credentials.")
    if "authorization_code" not in grants and any(not word.startswith("system/") for word in words):
        raise _wrong("patient/, user/, launch and identity scopes go with the grant authorization_code.")
    return " ".join(words)
