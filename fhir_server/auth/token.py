"""`POST /oauth2/token`: codes, refresh tokens and client credentials (SMART App Launch 2.2, RFC 6749), free of any framework.

Written out instead of built on authlib's grants: after the overrides that SMART needs nothing of them is left (docs/decisions.md).
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from fhir_server.auth import assertion, claimed, clients, labels, launch_scopes
from fhir_server.auth.clients import Client
from fhir_server.auth.flow import answers, codes, refresh
from fhir_server.auth.flow.answers import Answer
from fhir_server.auth.launch_scopes import OURS
from fhir_server.auth.oauth_errors import MEDIA_TYPE, OAuthError, printable
from fhir_server.auth.people import failures
from fhir_server.auth.principals import agent_id
from fhir_server.auth.remote_keys import RemoteKeys
from fhir_server.auth.scopes import ScopeError, narrow
from fhir_server.auth.tokens import issue
from fhir_server.context import Scope
from fhir_server.storage.tenants import Tenant

BACKEND_SECONDS: Final = 300
"""SMART: access tokens of backend services SHOULD hold five minutes at most."""
MAX_BODY: Final = 32_768
MAX_PARAMS: Final = 40

Form = dict[str, str]


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What goes back, and what the audit is told: who (0: nobody known) and which client was claimed."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    agent: int = 0
    detail: dict[str, str] = field(default_factory=dict)


def parse_form(content_type: str, body: bytes) -> Form:
    """Return the parameters of a token request; OAuthError when they are not a plain form with each name once."""
    if content_type.partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise OAuthError("invalid_request", f"Send the parameters as {MEDIA_TYPE} in the body.")
    if len(body) > MAX_BODY:
        raise OAuthError("invalid_request", f"The body has more than {MAX_BODY} bytes.")
    if body.count(b"&") >= MAX_PARAMS:
        raise OAuthError("invalid_request", f"A request has {MAX_PARAMS} parameters at most.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise OAuthError("invalid_request", "The body is not a form in percent-encoded UTF-8.") from error
    if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
        raise OAuthError("invalid_request", f"{twice[0]} is given twice.")
    return {name: value for name, value in pairs if value}


async def answer(
    tenant: Tenant,
    remote: RemoteKeys,
    form: Form,
    authorization: str | None,
    *,
    seconds: int = answers.MAX_SECONDS,
    charge: Callable[[str], Awaitable[None]] | None = None,
) -> TokenAnswer:
    """Return the answer to a token request; never raises an OAuthError. `seconds`: how long an app's access token holds.

    `charge` counts a request of a client that has proved who it is; OAuthError when it asks too often.
    """
    try:
        client = await authenticate(tenant, remote, form, authorization)
        if charge is not None and client.method != "none":
            await charge(client.client_id)
        return await _granted(tenant, client, form, seconds)
    except OAuthError as error:
        return await refusal(tenant, error, form, authorization)


async def _granted(tenant: Tenant, client: Client, form: Form, seconds: int) -> TokenAnswer:
    grant = form.get("grant_type")
    if grant is None:
        text = f"grant_type is missing; send one of {', '.join(GRANTS)}."
        raise OAuthError("invalid_request", text, client_id=client.client_id)
    if grant not in GRANTS:
        text = f"This server knows the grants {', '.join(GRANTS)}."
        raise OAuthError("unsupported_grant_type", text, client_id=client.client_id)
    return await GRANTS[grant](tenant, client, form, seconds)


async def refusal(tenant: Tenant, error: OAuthError, form: Form, authorization: str | None) -> TokenAnswer:
    """Return the answer for a refusal, naming the client to the audit when there is one of the id that was said."""
    said = error.client_id or claimed.client_of(form, authorization)
    agent = await claimed.client_number(tenant, said)
    detail = {"error": error.error, "client": printable(said or ""), "reason": error.description}
    return TokenAnswer(error.status, error.body(), _headers() | error.headers, agent, detail)


def _headers() -> dict[str, str]:
    return {"Cache-Control": "no-store", "Pragma": "no-cache"}


async def authenticate(tenant: Tenant, remote: RemoteKeys, form: Form, authorization: str | None) -> Client:
    """Authenticate the client by the one method it uses; several at once are refused (RFC 6749 §2.3). A public one says its id."""
    used = [authorization is not None, "client_assertion" in form, "client_secret" in form]
    if sum(used) > 1:
        raise OAuthError("invalid_request", "Use one way to authenticate: Basic, client_secret or client_assertion.")
    if "client_assertion" in form:
        if form.get("client_assertion_type") != assertion.ASSERTION_TYPE:
            raise OAuthError("invalid_request", f"client_assertion_type must be {assertion.ASSERTION_TYPE}.")
        return await assertion.authenticate(tenant, remote, form["client_assertion"], form.get("client_id"))
    if authorization is not None:
        client_id, secret = _basic(authorization, form)
        challenge = {"WWW-Authenticate": f'Basic realm="{tenant.base}"'}
        return await _by_secret(tenant, client_id, secret, OAuthError("invalid_client", "", 401, client_id, challenge))
    if "client_secret" in form:
        client_id = form.get("client_id", "")
        error = OAuthError("invalid_client", "", 400, client_id)
        return await _by_secret(tenant, client_id, form["client_secret"], error)
    client = await clients.get(tenant, form.get("client_id") or await _by_refresh_token(tenant, form), fresh=True)
    if client is not None and client.method == "none":
        return client
    raise OAuthError(
        "invalid_client",
        "Authenticate: send client_assertion_type and client_assertion (a JWT signed RS384 or ES384), or HTTP Basic;"
        " a client that is registered as public sends client_id.",
        client_id=form.get("client_id"),
    )


async def _by_refresh_token(tenant: Tenant, form: Form) -> str:
    """Return whose refresh token it is: RFC 6749 §6 asks a public client for nothing else, and common libraries send no more."""
    row = await refresh.find(tenant, form["refresh_token"]) if "refresh_token" in form else None
    return row["client_id"] if row is not None and form.get("grant_type") == "refresh_token" else ""


def _basic(authorization: str, form: Form) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        text = b64decode(encoded.strip(), validate=True).decode()
    except (Base64Error, ValueError) as error:
        raise OAuthError("invalid_request", "Authorization is not well-formed HTTP Basic.") from error
    client_id, colon, secret = (unquote_plus(part) for part in text.partition(":"))
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_request", "Authorization must be HTTP Basic with client id and secret.")
    if form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "client_id in the form differs from the one in Authorization.")
    return client_id, secret


async def _by_secret(tenant: Tenant, client_id: str, secret: str, error: OAuthError) -> Client:
    client = await clients.get(tenant, client_id, fresh=True) if client_id and len(client_id) <= 64 else None
    if not await clients.secret_matches(client, secret[:256]) or client is None:
        error.description = "The client is not registered with this secret."
        if wait := await failures.attempt(tenant, failures.CLIENT, client_id[:64]):
            error.status, error.headers = 429, error.headers | {"Retry-After": str(wait)}
        raise error
    return client


async def _authorization_code(tenant: Tenant, client: Client, form: Form, seconds: int) -> TokenAnswer:
    grant = await codes.redeem(tenant, client.client_id, form)
    return _answered(await answers.first(tenant, client, grant, seconds))


async def _refresh_token(tenant: Tenant, client: Client, form: Form, seconds: int) -> TokenAnswer:
    asked = form.get("scope")

    async def check(grant: answers.Authorization) -> None:
        await answers.granted(tenant, client, grant, asked)

    grant = await refresh.use(tenant, client.client_id, form.get("refresh_token"), check)
    return _answered(await answers.again(tenant, client, grant, seconds, asked))


def _answered(made: Answer) -> TokenAnswer:
    return TokenAnswer(200, made.body, _headers(), made.agent, made.detail)


async def _client_credentials(tenant: Tenant, client: Client, form: Form, _seconds: int) -> TokenAnswer:
    if client.method == "none":
        text = "A public client has no credentials: it gets tokens by grant_type authorization_code."
        raise OAuthError("unauthorized_client", text, client_id=client.client_id)
    scopes, special, dropped = _scopes(client, form.get("scope"))
    issued = await issue(tenant, client.client_id, scopes, seconds=BACKEND_SECONDS, special=special)
    scope = launch_scopes.written(scopes, special)
    body: dict[str, Any] = {
        "access_token": issued.text, "token_type": "Bearer", "expires_in": BACKEND_SECONDS, "scope": scope
    }  # fmt: skip
    if dropped:
        body["dropped_scopes"] = dropped
    agent = await agent_id(tenant, client.client_id, user=None, patient=None, scope=scope)
    return TokenAnswer(200, body, _headers(), agent, {"token": issued.token_id})


Grant = Callable[[Tenant, Client, Form, int], Awaitable[TokenAnswer]]
GRANTS: Final[dict[str, Grant]] = {
    "authorization_code": _authorization_code,
    "refresh_token": _refresh_token,
    "client_credentials": _client_credentials,
}


def _scopes(client: Client, asked: str | None) -> tuple[tuple[Scope, ...], tuple[str, ...], dict[str, str]]:
    """Return what is granted of the scopes asked for, and what was dropped and why."""
    registered = f"this client is registered for {client.scope}"
    if not asked:
        raise OAuthError("invalid_scope", f"Name the scopes; {registered}.", client_id=client.client_id)
    try:
        scopes, special = launch_scopes.known(asked)
    except ScopeError as error:
        raise OAuthError("invalid_scope", f"{error}.", client_id=client.client_id) from error
    dropped = _without_context(scopes) | {word: _NO_PERSON for word in special if word not in OURS | labels.WORDS}
    dropped |= {word: "refused: the client is not registered for it" for word in special if word not in client.special}
    granted, lost = narrow((scope for scope in scopes if scope.text not in dropped), client.scopes)
    dropped |= lost
    rights = tuple(word for word in special if word not in dropped)
    if not granted and not rights:
        why = "; ".join(f"{text}: {reason}" for text, reason in dropped.items())
        raise OAuthError(
            "invalid_scope", f"Nothing is left to grant. {why[:1500]}; {registered}.", client_id=client.client_id
        )
    return granted, rights, dropped


_NO_PERSON: Final = "refused: client_credentials has no person and no launch"
_NO_CONTEXT: Final = {
    "patient": "refused: client_credentials has no patient context; patient/ scopes come with a launch",
    "user": "refused: client_credentials has no user; user/ scopes come with a launch",
}


def _without_context(scopes: Sequence[Scope]) -> dict[str, str]:
    return {scope.text: _NO_CONTEXT[scope.level] for scope in scopes if scope.level in _NO_CONTEXT}
