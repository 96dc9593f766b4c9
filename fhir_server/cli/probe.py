"""What keeps an instance from starting, one sentence each: the folder, the tenants' names, the database, Redis."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from fhir_server.settings import Settings


def masked(value: Any) -> str:
    """Return a setting as it may be shown: secrets as stars, URLs without their password."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "********"
    text = ",".join(value) if isinstance(value, list) else str(value)
    text = re.sub(r"(password=)[^&]*", r"\1********", text)
    scheme, slashes, rest = text.partition("://")
    credentials, at, place = rest.rpartition("@")  # the last one: a password may hold others that nobody escaped
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{slashes}{user}:********{at}{place}" if colon else text


def of_folder(data: Path) -> str | None:
    """Return why the data folder, or the one in which to make it, cannot be used, if so."""
    there = next(folder for folder in (data, *data.parents) if folder.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return None
    why = "may not be written" if there.is_dir() else "is no folder"
    return f"{there} {why}: choose another data folder with --data DIR or CLARITY_DATA."


def of_tenants(settings: Settings) -> Iterator[str]:
    """Yield what is wrong with the names of the tenants."""
    from fhir_server.storage.tenants import schema_name

    for name in settings.tenants:
        try:
            schema_name(name)
        except ValueError as error:
            yield f"TENANTS: {error}."


async def of_services(database: str | None, redis: str | None) -> list[str]:
    """Return what is wrong with a database and a Redis; None stands for one that is not used."""
    problems = []
    if database is not None and (text := await of_database(database)):
        problems.append(text)
    if redis is not None and (text := await of_redis(redis)):
        problems.append(text)
    return problems


async def of_bucket(settings: Settings) -> list[str]:
    """Return why large content cannot be kept in S3, if so: a few bytes are put there, read, and deleted."""
    import secrets

    from fhir_server.storage.blobs.s3 import Bucket
    from fhir_server.storage.blobs.stores import BlobMissing, StoreAway

    bucket, name, said = Bucket(settings), f"doctor/{secrets.token_hex(8)}", b"here"
    try:
        await bucket.put(name, said)
        read = await bucket.part(name, 0, len(said))
        await bucket.delete(name)
    except (StoreAway, BlobMissing) as error:
        return [
            f"S3_BUCKET {settings.s3_bucket} cannot be used ({error}): check AWS_ENDPOINT_URL, AWS_REGION, keys, rights."
        ]
    return [] if read == said else [f"S3_BUCKET {settings.s3_bucket} gives back something else than was put there."]


async def of_database(url: str) -> str | None:
    """Return why a database cannot be used, if so."""
    import asyncpg

    from fhir_server.storage import tenants

    try:
        pool = await asyncio.wait_for(tenants.connect(url, min_size=1, max_size=1), 10)
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return f"DATABASE_URL {masked(url)} cannot be used ({type(error).__name__}): check host, user and password."
    try:
        await tenants.refuse_unsafe(pool)
    except tenants.UnsafeDatabase as error:
        return str(error)
    finally:
        await pool.close()
    return None


async def of_work(url: str, tenants: Iterable[str]) -> list[str]:
    """Return what workers could not do and left to an administrator, in a database that can be used."""
    import asyncpg

    from fhir_server.storage.tenants import schema_name

    problems = []
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []  # `of_database` has said so
    try:
        for name in tenants:
            table = f"{schema_name(name)}.outbox_aside"
            if await connection.fetchval("SELECT to_regclass($1)", table) is None:
                continue
            if count := await connection.fetchval(f"SELECT count(*) FROM {table}"):
                text = "could not be acted on and were set aside: ./clarity events list says which, and the log why."
                problems.append(f"Tenant {name}: {count} changes {text}")
    finally:
        await connection.close()
    return problems


async def of_redis(url: str) -> str | None:
    """Return why a Redis cannot be used, if so."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    client = Redis.from_url(url, socket_connect_timeout=5)
    try:
        version = (await client.info("server"))["redis_version"]
    except (RedisError, OSError) as error:
        return f"REDIS_URL {masked(url)} cannot be used ({type(error).__name__}): check host, port and password."
    finally:
        await client.aclose()
    major, minor = (int(part) for part in str(version).split(".")[:2])
    return None if (major, minor) >= (6, 2) else f"Redis {version} is too old: Clarity needs 6.2 or newer."
