"""A flow between two pages: what the app asked and the person has chosen so far, sealed and carried by the form itself.

Nothing is kept for strangers who only came by. A flow is bound to the cookie of one browser only by the form token beside it;
its id is spent when it ends in a decision, so that no form decides twice.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec

from fhir_server.kit import base64url, clock, ids, json
from fhir_server.storage.keystore import InvalidSeal
from fhir_server.storage.tenants import Tenant

SECONDS: Final = 600
MAX_SEALED: Final = 24_000
_SEAL: Final = b"oauth-flow"
_SPEND = "INSERT INTO {s}.oauth_jti (issuer, digest, expires_at) VALUES ('flow', $1, $2) ON CONFLICT DO NOTHING RETURNING true"


class Flow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One authorize request that was found to be in order."""

    id: str
    began: float
    client_id: str
    redirect_uri: str
    state: str
    scope: str
    challenge: str
    nonce: str | None = None
    launch: str | None = None
    """The launch handle of an EHR launch."""
    fresh_login: bool = False
    """The app wants the person to sign in again (`prompt=login`)."""
    context: dict[str, Any] = {}
    """The launch context as the EHR gave it."""
    patient: str | None = None
    encounter: str | None = None
    """The Encounter chosen; empty when the person chose none."""

    @property
    def is_over(self) -> bool:
        """Whether it took too long."""
        return clock.seconds() - self.began > SECONDS


def new(**known: Any) -> Flow:
    """Return a flow that begins now."""
    return Flow(id=ids.new_id(), began=clock.seconds(), **known)


def seal(tenant: Tenant, flow: Flow) -> str:
    """Return the flow as a form carries it."""
    return base64url.encode(tenant.keystore.seal(json.encode(msgspec.to_builtins(flow)), _SEAL))


def unseal(tenant: Tenant, text: str) -> Flow | None:
    """Return the flow that a form brought back; None when it was not made here, was changed, or is over."""
    if not 0 < len(text) <= MAX_SEALED:
        return None
    try:
        data = tenant.keystore.open(base64url.decode(text), _SEAL)
    except (InvalidSeal, ValueError):
        return None
    flow = msgspec.convert(json.decode_trusted(data), Flow)
    return None if flow.is_over else flow


async def spend(connection: Any, tenant: Tenant, flow: Flow) -> bool:
    """Use up the flow: of any number of decisions made by one form, one counts."""
    until = clock.now() + timedelta(seconds=2 * SECONDS)
    return bool(await connection.fetchval(tenant.sql(_SPEND), flow.id.encode(), until))
