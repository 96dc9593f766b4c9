"""Who a request says it is, for the audit of what was refused: nothing of it is proved, and no right follows from it."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import unquote_plus

from fhir_server.auth import decisions
from fhir_server.auth.jose import TokenError, unverified
from fhir_server.auth.principals import agent_id
from fhir_server.storage.tenants import Tenant


async def client_number(tenant: Tenant, client_id: str | None) -> int:
    """Return the number of a client in audit rows, also of one that waits or was disabled; 0 when there is none of that id."""
    if client_id is None or await decisions.registered(tenant, client_id) is None:
        return 0
    return await agent_id(tenant, client_id, user=None, patient=None, scope="")


def client_of(form: Mapping[str, str], authorization: str | None) -> str | None:
    """Return which client a request to the token endpoint says that it comes from, by whatever it has sent of it."""
    return _of_basic(authorization or "") or form.get("client_id") or _of_assertion(form.get("client_assertion", ""))


def _of_basic(authorization: str) -> str | None:
    scheme, _, encoded = authorization.partition(" ")
    try:
        text = b64decode(encoded.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except ValueError:
        return None
    return unquote_plus(text.partition(":")[0]) or None


def _of_assertion(text: str) -> str | None:
    try:
        issuer = unverified(text).get("iss")
    except TokenError:
        return None
    return issuer if isinstance(issuer, str) else None
