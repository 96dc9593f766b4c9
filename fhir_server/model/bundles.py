"""Bundles that we answer with, joined from bytes: bodies of entries are never parsed again (R4 `bundle.html`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fhir_server.errors import Issue, outcome
from fhir_server.kit import json
from fhir_server.kit.clock import instant

HTTP_METHODS = {1: "POST", 2: "PUT", 3: "DELETE", 4: "PATCH"}
"""The numbers under which storage keeps the method that made a version."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a Bundle says of one stored version; `method` is a number of HTTP_METHODS, the body empty for a deletion."""

    type: str
    id: str
    version: int
    last_updated: datetime
    method: int
    body: bytes


def etag(version: int) -> str:
    """Return the weak ETag of a version."""
    return f'W/"{version}"'


def _text(value: str) -> bytes:
    return json.encode(value)


def search_entry(base: str, type_: str, id_: str, body: bytes, mode: bytes = b"match") -> bytes:
    """Return an entry of a searchset."""
    url = _text(f"{base}/{type_}/{id_}")
    return b'{"fullUrl":%b,"resource":%b,"search":{"mode":"%b"}}' % (url, body, mode)


def outcome_entry(issues: Sequence[Issue]) -> bytes:
    """Return the entry of a searchset that holds warnings."""
    return b'{"resource":%b,"search":{"mode":"outcome"}}' % json.encode(outcome(list(issues)))


def history_entry(base: str, row: Version) -> bytes:
    """Return an entry of a history: how the version came to be, and the version unless it is a deletion or was erased."""
    name = f"{row.type}/{row.id}"
    method = HTTP_METHODS[row.method]
    request = {"method": method, "url": row.type if method == "POST" else name}
    status = "204" if method == "DELETE" else "410" if not row.body else "201" if row.version == 1 else "200"
    response = {"status": status, "etag": etag(row.version), "lastModified": instant(row.last_updated)}
    resource = b'"resource":%b,' % row.body if row.body else b""
    parts = (_text(f"{base}/{name}"), resource, json.encode(request), json.encode(response))
    return b'{"fullUrl":%b,%b"request":%b,"response":%b}' % parts


@dataclass(frozen=True, slots=True)
class EntryResponse:
    """The answer to one entry of a batch or transaction."""

    status: str
    location: str | None = None
    version: int | None = None
    last_modified: datetime | None = None
    outcome: bytes = b""
    resource: bytes = b""
    full_url: str | None = None


def response_entry(answer: EntryResponse) -> bytes:
    """Return an entry of a batch-response or transaction-response."""
    parts = [b'"status":%b' % _text(answer.status)]
    if answer.location:
        parts.append(b'"location":%b' % _text(answer.location))
    if answer.version is not None:
        parts.append(b'"etag":%b' % _text(etag(answer.version)))
    if answer.last_modified is not None:
        parts.append(b'"lastModified":%b' % _text(instant(answer.last_modified)))
    if answer.outcome:
        parts.append(b'"outcome":%b' % answer.outcome)
    head = b'"fullUrl":%b,' % _text(answer.full_url) if answer.full_url else b""
    resource = b'"resource":%b,' % answer.resource if answer.resource else b""
    return b'{%b%b"response":{%b}}' % (head, resource, b",".join(parts))


def bundle(
    type_: str,
    entries: Iterable[bytes],
    *,
    id_: str,
    moment: datetime,
    total: int | None = None,
    links: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Return a whole Bundle; `links` are (relation, url)."""
    parts = [b'{"resourceType":"Bundle","id":%b' % _text(id_), b'"meta":{"lastUpdated":%b}' % _text(instant(moment))]
    parts.append(b'"type":%b' % _text(type_))
    if type_ not in ("searchset", "history"):
        del parts[1]
    if total is not None:
        parts.append(b'"total":%d' % total)
    if links:
        parts.append(b'"link":%b' % json.encode([{"relation": name, "url": url} for name, url in links]))
    joined = b",".join(entries)
    if joined:
        parts.append(b'"entry":[%b]' % joined)
    return b",".join(parts) + b"}"
