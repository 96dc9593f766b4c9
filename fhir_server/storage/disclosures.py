"""What was sent to language models and what came back, encrypted by the patient's key; the day's tokens as one sum.

A row is there, and committed, before the first byte leaves; one that stays `sending` is a call whose end nobody has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.kit import json
from fhir_server.storage import codec
from fhir_server.storage.tenants import Tenant

_LOCK = 0x6761_7465
"""Of advisory locks with the tenant's schema: two calls must not both find the last tokens of the day."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One call as it is about to be made; numbers, names of ours, and `sent`, the only part that is about the patient."""

    patient: int
    key_id: int
    agent: int
    host: str
    model: str
    role: str
    template: str
    sources: int
    withheld: int
    tokens: int
    sent: dict[str, Any]


def _aad(tenant: Tenant, id_: int, part: str) -> bytes:
    return f"{tenant.name}/disclosure/{id_}/{part}".encode()


def _sealed(tenant: Tenant, key_id: int, id_: int, part: str, content: object) -> bytes:
    return codec.encode(json.encode(content), tenant.keystore.get(key_id), _aad(tenant, id_, part))


async def begin(tenant: Tenant, made: Disclosure, day_tokens: int) -> int | None:
    """Write the row of a call and return its id; None, and no row, when the last 24 hours leave too few tokens for it."""
    used = "SELECT coalesce(sum(tokens), 0) FROM {s}.disclosure WHERE at > now() - interval '24 hours'"
    number = "SELECT nextval(pg_get_serial_sequence('{s}.disclosure', 'id'))"
    insert = """INSERT INTO {s}.disclosure
      (id, patient, agent, host, model, role, template, sources, withheld, tokens, key_id, sent) OVERRIDING SYSTEM VALUE
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
    async with tenant.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK, tenant.schema)
        if await connection.fetchval(tenant.sql(used)) + made.tokens > day_tokens:
            return None
        id_ = int(await connection.fetchval(tenant.sql(number)))
        sent = _sealed(tenant, made.key_id, id_, "sent", made.sent)
        await connection.execute(
            tenant.sql(insert), id_, made.patient, made.agent, made.host, made.model, made.role, made.template,
            made.sources, made.withheld, made.tokens, made.key_id, sent,
        )  # fmt: skip
    return id_


async def end(
    tenant: Tenant, id_: int, key_id: int, state: str, tokens: tuple[int, int] | None, received: str | None
) -> None:
    """Note how a call ended (`answered`, or the code of an error), what it took if that is known, and what came back."""
    text = """UPDATE {s}.disclosure SET state = $2, ended_at = now(), prompt_tokens = $3, completion_tokens = $4,
      tokens = coalesce($3::int + $4::int, tokens), received = $5 WHERE id = $1"""
    sealed = None if received is None else _sealed(tenant, key_id, id_, "received", {"text": received})
    prompt, completion = tokens or (None, None)
    await tenant.pool.execute(tenant.sql(text), id_, state, prompt, completion, sealed)


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of the log, decrypted."""

    id: int
    at: datetime
    host: str
    model: str
    template: str
    state: str
    tokens: int
    sent: dict[str, Any]
    received: str | None


async def of_patient(tenant: Tenant, patient: int, limit: int = 100) -> list[Logged]:
    """Return the newest calls about a patient, for who keeps the records; KeyDestroyed when the patient was erased."""
    text = """SELECT id, at, host, model, template, state, tokens, key_id, sent, received FROM {s}.disclosure
    WHERE patient = $1 ORDER BY at DESC, id DESC LIMIT $2"""
    return [_logged(tenant, row) for row in await tenant.pool.fetch(tenant.sql(text), patient, limit)]


def _logged(tenant: Tenant, row: Any) -> Logged:
    cipher, id_ = tenant.keystore.get(row["key_id"]), row["id"]
    sent = json.decode_trusted(codec.decode(row["sent"], cipher, _aad(tenant, id_, "sent")))
    received = None
    if row["received"] is not None:
        received = json.decode_trusted(codec.decode(row["received"], cipher, _aad(tenant, id_, "received")))["text"]
    return Logged(
        id_, row["at"], row["host"], row["model"], row["template"], row["state"], row["tokens"], sent, received
    )
