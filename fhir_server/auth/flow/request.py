"""The authorize request (SMART App Launch 2.2 "Obtain authorization code"), checked so that it never redirects to a stranger.

First the client and its redirect URI: what is wrong there is shown to the person, and the browser goes nowhere (RFC 6749 §4.1.2.1).
What is wrong after that goes back to the app, with `state` and `iss` (RFC 9207).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, urlencode

from fhir_server.auth import clients
from fhir_server.auth.clients import Client
from fhir_server.auth.flow import launches, state
from fhir_server.auth.flow.asked import Asked, by_client
from fhir_server.auth.flow.state import Flow
from fhir_server.auth.oauth_errors import printable
from fhir_server.auth.redirects import nearest
from fhir_server.auth.scopes import ScopeError
from fhir_server.auth.tokens import issuer
from fhir_server.storage.tenants import Tenant

Params = Sequence[tuple[str, str]]
Error = Literal[
    "invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope", "server_error",
    "temporarily_unavailable", "login_required", "interaction_required",
]  # fmt: skip

MAX_STATE: Final = 2048
MAX_NONCE: Final = 512
MAX_LENGTH: Final = 16_384
_PROMPTS: Final = frozenset({"login", "consent", "select_account"})
"""What may be asked for together (OpenID Connect Core §3.1.2.1)."""
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_USED: Final = (
    "client_id", "redirect_uri", "response_type", "state", "scope", "aud", "resource", "launch", "code_challenge",
    "code_challenge_method", "nonce", "prompt", "response_mode", "request", "request_uri",
)  # fmt: skip


@dataclass
class Shown(Exception):
    """A request that may lead nowhere: said to the person, with what whoever made the app has to mend."""

    text: str
    advice: str = ""
    client_id: str | None = None


@dataclass
class Returned(Exception):
    """A request that is refused, said to the app by a redirect to where it is registered."""

    error: Error
    description: str
    redirect_uri: str
    state: str | None
    client_id: str

    def location(self, tenant: Tenant) -> str:
        """Return where the browser goes."""
        said = {"error": self.error, "error_description": printable(self.description, 1800)}
        return back(tenant, self.redirect_uri, self.state, said)


def back(tenant: Tenant, redirect_uri: str, state: str | None, said: dict[str, str]) -> str:
    """Return the redirect URI with an answer: `state` as it came, and who answers."""
    answer = said | ({"state": state} if state is not None else {}) | {"iss": issuer(tenant)}
    return redirect_uri + ("&" if "?" in redirect_uri else "?") + urlencode(answer, quote_via=quote)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is in order so far: by which app, and what it asks."""

    client: Client
    asked: Asked
    flow: Flow
    silent: bool = False
    """Nothing may be shown (`prompt=none`)."""


async def read(tenant: Tenant, params: Params) -> Request:
    """Return the request; Shown or Returned say what is wrong with it."""
    counts = Counter(name for name, _ in params)
    given = {name: value for name, value in params if name in _USED and value}
    client = await _client(tenant, given.get("client_id"), counts["client_id"])
    redirect_uri = _redirect_uri(client, given.get("redirect_uri"), counts["redirect_uri"])

    def refuse(error: Error, description: str) -> Returned:
        kept = given.get("state") if counts["state"] == 1 else None
        return Returned(error, description, redirect_uri, kept, client.client_id)

    if twice := [name for name in _USED if counts[name] > 1]:
        raise refuse("invalid_request", f"{twice[0]} is given twice.")
    for error, description in _wrong(tenant, given):
        raise refuse(error, description)
    try:
        asked = by_client(client, given["scope"])
    except ScopeError as error:
        raise refuse("invalid_scope", f"{error}.") from error
    if not asked.resources and not asked.special:
        raise refuse(
            "invalid_scope", f"Nothing is left to grant. {asked.why()}; this client is registered for {client.scope}."
        )
    flow = state.new(
        client_id=client.client_id, redirect_uri=redirect_uri, state=given["state"], scope=given["scope"],
        challenge=given["code_challenge"], nonce=given.get("nonce"), launch=given.get("launch"),
        fresh_login="login" in given.get("prompt", "").split(" "),
    )  # fmt: skip
    try:
        flow = await launches.open_for(tenant, flow, asked)
    except launches.LaunchError as error:
        raise refuse("invalid_request", str(error)) from error
    return Request(client, asked, flow, silent=given.get("prompt") == "none")


async def _client(tenant: Tenant, client_id: str | None, count: int) -> Client:
    if client_id is None or count != 1:
        raise Shown("The app did not say who it is.", "Send client_id, once.")
    client = await clients.get(tenant, client_id, fresh=True)
    if client is None:
        text = f"No app {printable(client_id)} is registered here."
        raise Shown(text, f"Register it, or mend client_id. This is the server {tenant.base}.", client_id)
    if not client.redirect_uris:
        raise Shown(
            f"{printable(client.name)} is not an app that people open.",
            "Register it with a redirect URI; a backend service uses grant_type client_credentials.",
            client_id,
        )
    return client


def _redirect_uri(client: Client, asked: str | None, count: int) -> str:
    if asked is None or count != 1:
        advice = f"Send redirect_uri, once; registered: {', '.join(client.redirect_uris)}"
        raise Shown("The app did not say where it waits for the answer.", advice, client.client_id)
    if asked not in client.redirect_uris:
        near = nearest(asked, client.redirect_uris)
        advice = (
            f"The nearest that is registered is {near}" if near else f"Registered: {', '.join(client.redirect_uris)}"
        )
        raise Shown(
            "The app waits for the answer at an address that is not registered for it.",
            f"redirect_uri {printable(asked, 300)} must equal a registered one letter for letter. {advice}",
            client.client_id,
        )
    return asked


def _wrong(tenant: Tenant, given: dict[str, str]) -> list[tuple[Error, str]]:
    """Return what is wrong with the parameters that have one right form, the first of it first."""
    found: list[tuple[Error, str]] = []
    if given.get("response_type") != "code":
        found.append(("unsupported_response_type", "response_type must be code."))
    if given.get("response_mode", "query") != "query":
        found.append(("invalid_request", "response_mode must be query, or absent."))
    if "request" in given or "request_uri" in given:
        found.append(("invalid_request", "Send the parameters themselves; request and request_uri are not taken."))
    if not 0 < len(given.get("state", "")) <= MAX_STATE:
        found.append(
            ("invalid_request", f"Send state: a value that cannot be guessed, {MAX_STATE} characters at most.")
        )
    found += _wrong_aud(tenant, given) + _wrong_challenge(given)
    if len(given.get("nonce", "")) > MAX_NONCE:
        found.append(("invalid_request", f"nonce has {MAX_NONCE} characters at most."))
    if (prompt := set(given.get("prompt", "login").split(" "))) != {"none"} and prompt - _PROMPTS:
        found.append(("invalid_request", "prompt must be none alone, or of login, consent and select_account."))
    if "scope" not in given:
        found.append(("invalid_scope", "Send scope, such as launch/patient patient/*.rs openid fhirUser."))
    return found


def _wrong_aud(tenant: Tenant, given: dict[str, str]) -> list[tuple[Error, str]]:
    aud = given.get("aud", given.get("resource"))
    if aud == tenant.base and given.get("resource", aud) == aud:
        return []
    said = f"it is {printable(aud, 200)}" if aud else "it is missing"
    return [("invalid_request", f"aud must be the FHIR base of this server, {tenant.base}; {said}.")]


def _wrong_challenge(given: dict[str, str]) -> list[tuple[Error, str]]:
    challenge, method = given.get("code_challenge"), given.get("code_challenge_method")
    if challenge is not None and method == "S256" and _CHALLENGE.fullmatch(challenge):
        return []
    what = "code_challenge_method must be S256" if challenge is not None and method != "S256" else (
        "code_challenge must be the SHA-256 of code_verifier in base64url, 43 characters"
    )  # fmt: skip
    return [("invalid_request", f"PKCE is for every client: {what}.")]
