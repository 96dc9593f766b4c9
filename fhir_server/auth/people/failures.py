"""How often one may fail: by account, address and client, counted in the database, so that all processes count together.

An attempt is counted before it is judged, so that guesses made at the same time are counted too; success takes it back.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

FIRST_WAIT: Final = 15
LONGEST_WAIT: Final = 900
_FORGET_HOURS = 24


@dataclass(frozen=True, slots=True)
class Limit:
    """Who is counted, and how many failures in a row come without a wait."""

    kind: str
    free: int


ACCOUNT: Final = Limit("account", 5)
ADDRESS: Final = Limit("address", 50)
CLIENT: Final = Limit("client", 20)

_WAIT = f"least({LONGEST_WAIT}, {FIRST_WAIT} * power(2, least(f.count - $3::int, 20))) * interval '1 second'"
_WAITS = f"f.count >= $3::int AND $2 < f.last_at + {_WAIT}"
_ATTEMPT = f"""
INSERT INTO {{s}}.failure AS f (key, count, last_at, attempt) VALUES ($1, 1, $2, $4)
ON CONFLICT (key) DO UPDATE SET
  count = CASE WHEN f.last_at < $2 - interval '{_FORGET_HOURS} hours' THEN 1 WHEN {_WAITS} THEN f.count ELSE f.count + 1 END,
  last_at = CASE WHEN {_WAITS} THEN f.last_at ELSE $2 END,
  attempt = CASE WHEN {_WAITS} THEN f.attempt ELSE $4 END
RETURNING attempt = $4 AS judged, extract(epoch FROM last_at + {_WAIT} - $2)::int AS wait
"""
_BACK = """
UPDATE {s}.failure SET count = greatest(0, CASE WHEN $2 THEN 0 ELSE count - 1 END) WHERE key = $1
"""


def _key(tenant: Tenant, limit: Limit, name: str) -> bytes:
    return tenant.claim_key("failure", limit.kind, name)


async def attempt(tenant: Tenant, limit: Limit, name: str) -> int:
    """Count an attempt; return how many seconds to wait when it must not be judged now, else 0."""
    args = (_key(tenant, limit, name), clock.now(), limit.free, secrets.token_bytes(8))
    row = await tenant.pool.fetchrow(tenant.sql(_ATTEMPT), *args)
    return 0 if row["judged"] else max(1, row["wait"])


async def succeeded(tenant: Tenant, limit: Limit, name: str) -> None:
    """Take the attempt back; for an account, forget all of its failures."""
    await tenant.pool.execute(tenant.sql(_BACK), _key(tenant, limit, name), limit is ACCOUNT)


async def purge(tenant: Tenant) -> None:
    """Forget what is older than a day."""
    text = f"DELETE FROM {{s}}.failure WHERE last_at < $1::timestamptz - interval '{_FORGET_HOURS} hours'"
    await tenant.pool.execute(tenant.sql(text), clock.now())
