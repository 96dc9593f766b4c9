"""Reading a Binary: as to whom its context is visible, whole or in part, as a resource or as what it is (R4 `binary.html`).

A Binary with a securityContext is there for whoever may read the Binary (scopes, compartment, labels, Consents: as every resource)
and, now, the resource that the context names: the policy stands in the statements that look for both.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping
from typing import Final

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError, Gone
from fhir_server.interactions import history
from fhir_server.interactions.address import Kind
from fhir_server.interactions.call import Call, Content, Handler, Json, Result
from fhir_server.interactions.contents import shows, store_away
from fhir_server.interactions.read import answer
from fhir_server.interactions.results import absent
from fhir_server.kit import json
from fhir_server.model import views
from fhir_server.storage import reads
from fhir_server.storage.blobs import keep
from fhir_server.storage.blobs.keep import TYPE, Blob
from fhir_server.storage.blobs.stores import BlobMissing, StoreAway
from fhir_server.storage.keystore import KeyDestroyed
from fhir_server.storage.reads import Stored

__all__ = ["READING", "TYPE"]

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_PIECE: Final = 64 * 1024
_SAFE: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",  # what somebody has posted is never a page of ours
    "Accept-Ranges": "bytes",
}
_MAX_VERSION: Final = 2**31 - 1


class _Unsatisfiable(FhirError):
    """A range beyond the content."""

    status = 416
    code = "value"


async def _read(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET Binary/id`."""
    assert call.address.id
    visibility = await policy.visibility(ctx, TYPE, "read")
    return await _answered(ctx, call, await reads.read(ctx.tenant, TYPE, call.address.id, visibility), "read")


async def _vread(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET Binary/id/_history/version`."""
    id_, version = call.address.id, call.address.version
    assert id_
    assert version
    visibility = await policy.visibility(ctx, TYPE, "read")
    if not (version.isascii() and version.isdigit() and int(version) <= _MAX_VERSION):
        raise absent()
    stored = await reads.vread(ctx.tenant, TYPE, id_, int(version), visibility)
    return await _answered(ctx, call, stored, "vread")


async def _history(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET Binary/id/_history`, when the context of the current version is visible."""
    assert call.address.id
    visibility = await policy.visibility(ctx, TYPE, "history-instance")
    current = await reads.read(ctx.tenant, TYPE, call.address.id, visibility)
    if current is not None and not current.deleted:
        await _check_context(ctx, json.decode_trusted(current.body))
    return await history.history(ctx, call)


async def content(ctx: RequestContext, id_: str, longest: int) -> tuple[Json, bytes] | None:
    """Return a Binary and its content, as far as the caller sees it; of what is longer than `longest` its beginning.

    None when it is not there or not seen. Gone when it was erased, Unavailable when its store is away.
    """
    seen = (await policy.visibilities(ctx, "read", [TYPE])).get(TYPE, ())
    stored = await reads.read(ctx.tenant, TYPE, id_, seen)
    if stored is None or stored.deleted:
        return None
    resource: Json = json.decode_trusted(stored.body)
    if not await shows(ctx, resource):
        return None
    told = keep.pointer_in(resource)
    blob = keep.pointed(ctx.tenant, id_, told) if told else None
    if blob is None:
        return resource, base64.b64decode(resource.get("data", ""))
    pieces = await _begun(keep.pieces(ctx.tenant, blob, 0, longest + 1))
    return resource, b"".join([piece async for piece in pieces])


READING: Final[Mapping[Kind, Handler]] = {"instance": _read, "version": _vread, "history-instance": _history}
"""Kinds of addresses below Binary whose GET is answered here."""


async def _check_context(ctx: RequestContext, resource: Json) -> None:
    if not await shows(ctx, resource):
        raise absent()


async def _answered(ctx: RequestContext, call: Call, stored: Stored | None, interaction: str) -> Result:
    resource = json.decode_trusted(stored.body) if stored is not None and stored.body else {}
    await _check_context(ctx, resource)
    view = None if call.native else views.parse_view(call.params)
    result = answer(ctx, call, stored, interaction, None)
    if result.status != 200:
        return result
    told = keep.pointer_in(resource)
    blob = keep.pointed(ctx.tenant, resource["id"], told) if told else None
    if call.native:
        return await _native(ctx, call, resource, blob, result)
    if blob is not None:
        pieces = [piece async for piece in await _begun(keep.pieces(ctx.tenant, blob))]
        resource = {name: value for name, value in resource.items() if name != "_data"}
        resource["data"] = base64.b64encode(b"".join(pieces)).decode()
        result.body = json.encode(resource)
    result.body = views.apply(result.body, view)
    return result


async def _native(ctx: RequestContext, call: Call, resource: Json, blob: Blob | None, result: Result) -> Result:
    """Turn the result into the content itself, or a part of it."""
    inline = b"" if blob else base64.b64decode(resource.get("data", ""))
    size = blob.size if blob else len(inline)
    start, end = _asked(call.range, size)
    pieces = keep.pieces(ctx.tenant, blob, start, end) if blob else _of(inline[start:end])
    result.content = Content(resource["contentType"], end - start, await _begun(pieces))
    result.body = b""
    result.headers |= _SAFE | {"Content-Disposition": f'attachment; filename="{resource["id"]}"'}
    if (start, end) != (0, size):
        result.status = 206
        result.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return result


def _asked(text: str | None, size: int) -> tuple[int, int]:
    """Return from where to where; everything for what is no single range of bytes (RFC 9110 §14.2), 416 beyond the end."""
    found = _RANGE.fullmatch(text.replace(" ", "")) if text else None
    if found is None or found[0] == "bytes=-":
        return 0, size
    first, last = found[1], found[2]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if last and first and int(last) < int(first):
        return 0, size
    if start >= size or start >= end:
        text = f"The content has {size} bytes: the range begins beyond them."
        raise _Unsatisfiable(text, "range", headers={"Content-Range": f"bytes */{size}"})
    return start, end


async def _of(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), _PIECE):
        yield data[at : at + _PIECE]


async def _begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the pieces with the first one fetched: what is missing is told before any status has gone out."""
    try:
        first = await anext(pieces, b"")
    except KeyDestroyed:
        raise Gone("The content was erased.", "erased") from None
    except (BlobMissing, StoreAway) as error:
        raise store_away() from error
    return _then(first, pieces)


async def _then(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece
