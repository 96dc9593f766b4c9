"""Contact points as keyed hashes: which are verified for whom, and which want no messages.

A code is derived from the tenant's key and a nonce of the row: it stands nowhere, neither in the database nor in a job.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fhir_server.storage import jobs
from fhir_server.storage.tenants import JOBS, Tenant

JOB: Final = "contact"
"""The kind of job that tells somebody a code; its key is the id of the row."""
HOLDS: Final = timedelta(minutes=30)
TRIES, CODES_A_DAY = 5, 5
_DIGITS: Final = 6

_ASK = """
INSERT INTO {s}.contact AS c (person, address, channel, nonce, codes, asked_at, holder) VALUES ($1, $2, $3, $4, 1, now(), $6)
ON CONFLICT (person, address) DO UPDATE SET nonce = excluded.nonce, holder = excluded.holder, tries = 0,
  asked_at = now(), told_at = NULL, why = NULL,
  codes = CASE WHEN c.asked_at::date = now()::date THEN c.codes + 1 ELSE 1 END
WHERE c.asked_at IS NULL OR c.asked_at::date < now()::date OR c.codes < $5
RETURNING id
"""
_TRY = """
UPDATE {s}.contact SET tries = tries + 1 WHERE person = $1 AND address = $2 AND nonce IS NOT NULL AND tries < $3
  AND asked_at > now() - $4::interval RETURNING id, nonce
"""
_VERIFY = """
INSERT INTO {s}.contact AS c (person, holder, address, channel, verified_at, verified_by) VALUES ($1, $1, $2, $3, now(), $4)
ON CONFLICT (person, address) DO UPDATE SET verified_at = now(), verified_by = excluded.verified_by, nonce = NULL
"""
_OUT = """
INSERT INTO {s}.message_opt_out (address, source) VALUES ($1, $2)
ON CONFLICT (address) DO UPDATE SET source = excluded.source, at = now()
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A code that somebody is to be told."""

    id: int
    holder: int
    address: int
    channel: str
    nonce: bytes
    told_at: datetime | None


def address_key(tenant: Tenant, channel: str, value: str) -> int:
    """Return the hash by which a contact point (`sms` or `email`, in its normal form) is known."""
    return tenant.key(0, "contact", channel, value)


def code_of(tenant: Tenant, id_: int, nonce: bytes) -> str:
    """Return the six digits of a row."""
    digest = hmac.digest(tenant.keystore.derived(b"contact code", str(id_)), nonce, "sha256")
    return f"{int.from_bytes(digest[:8], 'big') % 10**_DIGITS:0{_DIGITS}d}"


async def ask(tenant: Tenant, person: int, holder: int, address: int, channel: str) -> bool:
    """Have a new code told there; False when there were too many today."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        arguments = person, address, channel, secrets.token_bytes(16), CODES_A_DAY, holder
        id_ = await connection.fetchval(tenant.sql(_ASK), *arguments)
        if id_ is not None:
            await jobs.add(connection, tenant, [(JOB, str(id_), {}, await connection.fetchval("SELECT now()"))])
    if id_ is not None:
        tenant.announce(JOBS)
    return id_ is not None


async def asked(tenant: Tenant, id_: int) -> Asked | None:
    """Return what is to be told, None when that is over."""
    text = """SELECT id, holder, address, channel, nonce, told_at FROM {s}.contact
    WHERE id = $1 AND nonce IS NOT NULL AND asked_at > now() - $2::interval"""
    row = await tenant.pool.fetchrow(tenant.sql(text), id_, HOLDS)
    return Asked(*row) if row else None


async def told(tenant: Tenant, id_: int, why: str | None = None) -> None:
    """Note that a code is on its way, or why it is not."""
    text = "UPDATE {s}.contact SET told_at = CASE WHEN $2::text IS NULL THEN now() END, why = $2 WHERE id = $1"
    await tenant.pool.execute(tenant.sql(text), id_, why)


async def confirm(tenant: Tenant, person: int, address: int, channel: str, code: str) -> bool:
    """Take a code; True verifies the contact point. Five tries within half an hour, then another code is needed."""
    row = await tenant.pool.fetchrow(tenant.sql(_TRY), person, address, TRIES, HOLDS)
    if row is None or not hmac.compare_digest(code_of(tenant, row["id"], row["nonce"]), code):
        return False
    await verify(tenant, person, address, channel, "code")
    return True


async def verify(tenant: Tenant, person: int, address: int, channel: str, by: str) -> None:
    """Note that somebody (`code`, `administrator`) has verified a contact point of a person."""
    await tenant.pool.execute(tenant.sql(_VERIFY), person, address, channel, by)


async def verified(tenant: Tenant, person: int, addresses: Sequence[int]) -> set[int]:
    """Return those of a person's contact points that are verified."""
    text = (
        "SELECT address FROM {s}.contact WHERE person = $1 AND address = ANY($2::bigint[]) AND verified_at IS NOT NULL"
    )
    return {row["address"] for row in await tenant.pool.fetch(tenant.sql(text), person, list(addresses))}


async def opted_out(tenant: Tenant, addresses: Sequence[int]) -> set[int]:
    """Return those contact points that want no messages."""
    text = "SELECT address FROM {s}.message_opt_out WHERE address = ANY($1::bigint[])"
    return {row["address"] for row in await tenant.pool.fetch(tenant.sql(text), list(addresses))}


async def opt_out(tenant: Tenant, address: int, source: str) -> None:
    """Send no more messages to a contact point: `stop`, `complaint`, `bounce`, `administrator`."""
    await tenant.pool.execute(tenant.sql(_OUT), address, source)


async def opt_in(tenant: Tenant, address: int) -> None:
    """Let messages go to a contact point again."""
    await tenant.pool.execute(tenant.sql("DELETE FROM {s}.message_opt_out WHERE address = $1"), address)


async def first_time(tenant: Tenant, provider_id: str) -> bool:
    """Note an answer by its id; False when it was taken before."""
    text = "INSERT INTO {s}.message_answer (provider_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true"
    return bool(await tenant.pool.fetchval(tenant.sql(text), provider_id[:64]))


async def forget_answers(tenant: Tenant, after: timedelta) -> None:
    """Forget the ids of answers that are too old to come again."""
    await tenant.pool.execute(tenant.sql("DELETE FROM {s}.message_answer WHERE at < now() - $1::interval"), after)
