"""Rows and pointers of blobs: kept before what points to them is committed, swept when nothing does."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag

from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.blobs import sealed
from fhir_server.storage.blobs.s3 import Bucket
from fhir_server.storage.blobs.stores import Folder, Store
from fhir_server.storage.errors import Erased
from fhir_server.storage.keystore import InvalidSeal
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING

TYPE = "Binary"
"""What points to blobs."""
SWEEP_AFTER = "1 hour"
_BATCH = 500


class Changed(Exception):
    """A blob that was changed in its store."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What a pointer says: where the bytes are, how many, under which key, and their SHA-1 (the `hash` of Attachment)."""

    name: str
    size: int
    key_id: int
    sha1: str


def store_of(settings: Settings) -> Store:
    """Return the store that the settings name."""
    return Bucket(settings) if settings.s3_bucket else Folder(Path(settings.data) / "blobs")


def _bound(tenant: Tenant, name: str) -> bytes:
    return f"{tenant.name}/blob/{name}".encode()


async def put(tenant: Tenant, id_: str, version: int, data: bytes, key_id: int) -> Blob:
    """Keep the content of a version that is about to be committed; StoreAway when that is not possible now."""
    word = secrets.token_hex(16)
    name = f"{tenant.name}/{word[:2]}/{word}"
    cipher = tenant.keystore.get(key_id)
    body = await asyncio.to_thread(sealed.seal, data, cipher, _bound(tenant, name))
    text = "INSERT INTO {s}.blob (name, fhir_id, version, size, key_id) VALUES ($1, $2, $3, $4, $5)"
    await tenant.pool.execute(tenant.sql(text), name, id_, version, len(data), key_id)
    await tenant.blobs.put(name, body)
    return Blob(name, len(data), key_id, sha1(data, usedforsecurity=False).hexdigest())


def pointer(tenant: Tenant, id_: str, blob: Blob) -> str:
    """Return what stands in the resource `id_` for its content."""
    said = json.encode([blob.name, blob.size, blob.key_id, blob.sha1])
    return base64.urlsafe_b64encode(tenant.keystore.seal(said, f"blob {id_}".encode())).decode()


def pointed(tenant: Tenant, id_: str, text: str) -> Blob | None:
    """Return what a pointer of this resource says; None when it was not made for it."""
    try:
        said = tenant.keystore.open(base64.urlsafe_b64decode(text.encode()), f"blob {id_}".encode())
    except (InvalidSeal, ValueError):
        return None
    return Blob(*json.decode_trusted(said))


async def pieces(tenant: Tenant, blob: Blob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
    """Yield the bytes from `start` to before `end`, a chunk at a time.

    BlobMissing, StoreAway; Changed when it is not what was kept; KeyDestroyed when it was erased.
    """
    end = blob.size if end is None else min(end, blob.size)
    cipher = tenant.keystore.get(blob.key_id)
    head = await tenant.blobs.part(blob.name, 0, sealed.HEAD)
    for number in sealed.chunks(start, end) if start < end else ():
        chunk = await tenant.blobs.part(blob.name, *sealed.place(number))
        try:
            data = sealed.unseal(head, chunk, number, blob.size, cipher, _bound(tenant, blob.name))
        except (InvalidTag, ValueError) as error:
            raise Changed("a chunk of a blob does not open") from error
        first = number * sealed.CHUNK
        yield data[max(0, start - first) : end - first]


async def whole(tenant: Tenant, blob: Blob) -> bytes:
    """Return all bytes."""
    return b"".join([piece async for piece in pieces(tenant, blob)])


# ---- sweeping ----


async def sweep(tenant: Tenant, after: str = SWEEP_AFTER) -> int:
    """Delete blobs that no committed version points to, and erased ones; return how many. Again and again finds no more."""
    text = """SELECT name, fhir_id, version, key_id FROM {s}.blob
    WHERE NOT settled AND created_at < now() - $1::text::interval LIMIT $2"""
    gone = []
    for row in await tenant.pool.fetch(tenant.sql(text), after, _BATCH):
        if await _points(tenant, row):
            await tenant.pool.execute(tenant.sql("UPDATE {s}.blob SET settled = true WHERE name = $1"), row["name"])
        else:
            gone.append(row["name"])
    keys = await tenant.pool.fetch(tenant.sql("SELECT DISTINCT key_id FROM {s}.blob"))
    erased = [row["key_id"] for row in keys if tenant.keystore.destroyed(row["key_id"])]
    text = "SELECT name FROM {s}.blob WHERE key_id = ANY($1::int[]) LIMIT $2"
    gone += [row["name"] for row in await tenant.pool.fetch(tenant.sql(text), erased, _BATCH)]
    for name in dict.fromkeys(gone):
        await tenant.blobs.delete(name)
        await tenant.pool.execute(tenant.sql("DELETE FROM {s}.blob WHERE name = $1"), name)
    return len(set(gone))


async def _points(tenant: Tenant, row: Any) -> bool:
    """Tell whether the version that the blob was kept for was committed with a pointer to it."""
    try:
        found = await reads.vread(tenant, TYPE, row["fhir_id"], row["version"], EVERYTHING)
    except Erased:
        return False
    if found is None or not found.body:
        return False
    told = pointer_in(json.decode_trusted(found.body))
    blob = pointed(tenant, row["fhir_id"], told) if told else None
    return blob is not None and blob.name == row["name"]


POINTER = "https://fhir.clarity.example/StructureDefinition/stored-content"
"""The extension of `Binary.data` that holds a pointer in place of the data."""


def pointer_in(resource: dict[str, Any]) -> str | None:
    """Return the pointer that a stored Binary has instead of its data."""
    for extension in resource.get("_data", {}).get("extension", ()):
        if extension.get("url") == POINTER:
            text: str | None = extension.get("valueString")
            return text
    return None
