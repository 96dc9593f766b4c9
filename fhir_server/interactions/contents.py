"""Content of Binary and of attachments on its way in: whose it is, whether it is what it says, and out of the row when it is long.

A Binary with a `securityContext` belongs to whom that resource belongs to: the patient is noted beside the reference (an extension
of ours, made here only), so that compartments, Consents and keys apply, and the labels of the context are taken over. Attachments
that are long become Binaries of their own, in a commit of their own before the one that points to them: their id comes of what they
are and whose, so that a write that is tried again finds them there.
"""

from __future__ import annotations

import base64
from binascii import Error as Base64Error
from collections.abc import Container, Iterator, Mapping, Sequence
from hashlib import blake2b, sha1
from typing import Any, Final

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import Conflict, Forbidden, TooLarge, Unavailable, Unprocessable
from fhir_server.interactions import commands
from fhir_server.interactions.call import Json
from fhir_server.kit import json
from fhir_server.search.extract import CONTEXT_PATIENT, extract
from fhir_server.settings import Settings
from fhir_server.storage import ident, reads
from fhir_server.storage.blobs import keep
from fhir_server.storage.blobs.stores import StoreAway
from fhir_server.storage.commands import Command
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.prepare import patient_key
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.registry import R4

ATTACHED: Final = ("DocumentReference", "Media")
"""Types whose attachments are looked at."""


def use(tenant: Tenant, settings: Settings) -> None:
    """Let the writes of a tenant be prepared and checked."""

    async def binary(ctx: RequestContext, command: Command) -> None:
        await _binary(ctx, command, settings)

    async def attached(ctx: RequestContext, command: Command) -> None:
        await _attached(ctx, command, settings)

    tenant.blobs = keep.store_of(settings)
    tenant.prepares = {keep.TYPE: binary}
    tenant.check("contents", dict.fromkeys(ATTACHED, attached))


# ---- Binary ----


async def _binary(ctx: RequestContext, command: Command, settings: Settings) -> None:
    resource = command.resource
    if resource is None:
        return
    told = keep.pointer_in(resource)
    if told is not None and ("data" in resource or keep.pointed(ctx.tenant, command.id, told) is None):
        text = "The content of a Binary is sent as data, or raw; a pointer to stored content is not another resource's."
        raise Unprocessable(text, "binary-pointer", "Binary.data")
    await _settle_context(ctx, resource)
    command.index = extract(ctx.tenant, resource)
    data = _decoded(resource.get("data"), "Binary.data", settings)
    if command.expected:
        await _check_change(ctx, command, data)
    if data is not None and len(data) > settings.blob_bytes and _is_plain(resource["data"], data):
        await _move(ctx.tenant, command, data)


HOLDING: Final = "current"
"""The status of a document whose attachments have to stay what their hash says."""


async def check_held(
    ctx: RequestContext, binary: Json, after: bytes | None = None, going: Container[tuple[str, str]] = ()
) -> None:
    """Raise Conflict when the content of a stored Binary is an attachment's by its hash, and becomes other content or none.

    `after` is what it becomes, `going` what is deleted in the same commit.
    """
    type_, _, id_ = str(binary.get("securityContext", {}).get("reference", "")).partition("/")
    if type_ not in ATTACHED or (type_, id_) in going:
        return
    holder = await reads.read(ctx.tenant, type_, id_, EVERYTHING)
    if holder is None or holder.deleted:
        return
    resource = json.decode_trusted(holder.body)
    hashes = set(_hashes(resource, f"{keep.TYPE}/{binary['id']}"))
    if type_ == "DocumentReference" and resource.get("status") != HOLDING:
        return
    if hashes and (after is None or _hash(after) not in hashes):
        text = (
            f"{type_}/{id_} holds this content as its attachment, by its hash: change, supersede or delete that first."
        )
        raise Conflict(text, "binary-held", f"{keep.TYPE}.data")


def _hashes(value: Any, url: str) -> Iterator[str]:
    """Yield the hashes of the attachments of a resource that are at a URL."""
    if isinstance(value, list):
        for each in value:
            yield from _hashes(each, url)
    elif isinstance(value, dict):
        if value.get("url") == url and "hash" in value:
            yield "".join(str(value["hash"]).split())
        else:
            for each in value.values():
                yield from _hashes(each, url)


async def _check_change(ctx: RequestContext, command: Command, data: bytes | None) -> None:
    """Raise Conflict when a new version of a Binary takes content, or its owner, from a document that holds it."""
    stored = await reads.read(ctx.tenant, keep.TYPE, command.id, EVERYTHING)
    if stored is None or stored.deleted or command.resource is None:
        return
    before: Json = json.decode_trusted(stored.body)
    context = before.get("securityContext", {}).get("reference")
    moved = command.resource.get("securityContext", {}).get("reference") != context
    if moved or keep.pointer_in(command.resource) is None:
        await check_held(ctx, before, None if moved else data)


def _is_plain(text: str, data: bytes) -> bool:
    """Tell whether base64 comes back as it was sent when it is made anew: with lines or spaces in it, it would not."""
    return len(text) == (len(data) + 2) // 3 * 4


def _decoded(text: str | None, expression: str, settings: Settings) -> bytes | None:
    if text is None:
        return None
    if len(text) > settings.max_binary_bytes * 3 // 2:
        raise too_large(settings.max_binary_bytes)
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (Base64Error, ValueError) as error:
        raise Unprocessable("Content is sent as base64.", "base64-malformed", expression) from error
    if len(data) > settings.max_binary_bytes:
        raise too_large(settings.max_binary_bytes)
    return data


def too_large(limit: int) -> TooLarge:
    """Return the refusal of content over the limit."""
    return TooLarge(f"The content of a Binary or attachment may have {limit} bytes at most.", "binary-too-large")


async def _move(tenant: Tenant, command: Command, data: bytes) -> None:
    """Put the data of a Binary into the store, and a pointer into the resource."""
    resource, index = command.resource, command.index
    assert resource is not None
    assert index is not None
    if len(index.patients) == 1:
        [patient] = (await ident.rids(tenant, [("Patient", index.patients[0])])).values()
        key_id = await patient_key(tenant, patient)
    else:
        key_id = command.key_id = command.key_id or tenant.keystore.allocate()
    try:
        blob = await keep.put(tenant, command.id, command.expected + 1, data, key_id)
    except StoreAway as error:
        raise store_away() from error
    resource.pop("data", None)
    resource["_data"] = {"extension": [{"url": keep.POINTER, "valueString": keep.pointer(tenant, command.id, blob)}]}


def store_away() -> Unavailable:
    """Return the refusal while the store of large content is away."""
    text = "The store of large content cannot be reached now; try again."
    return Unavailable(text, "blobs-away", headers={"Retry-After": "10"})


async def _settle_context(ctx: RequestContext, resource: Json) -> None:
    """Note whose the context of a Binary is; Unprocessable when it is none that the caller sees.

    A service that reaches all of the type may name what is not here (yet), as in any reference: its Binary is nobody's then.
    """
    given = resource.get("securityContext")
    if given is None:
        return
    context = {name: value for name, value in given.items() if name != "extension"}
    type_, _, id_ = str(context.get("reference", "")).partition("/")
    found = await context_of(ctx, type_, id_)
    if found is None and await _is_open(ctx, type_):
        resource["securityContext"] = context
        return
    if found is None:
        text = "securityContext names no resource of this server that the caller may read: write it first, then the Binary."
        raise Unprocessable(text, "binary-context", "Binary.securityContext")
    named = await ident.names(ctx.tenant, found.patients)
    _take_over(resource, context, [id_ for _, id_ in named.values()], json.decode_trusted(found.body))


def _take_over(resource: Json, context: Json, patients: Sequence[str], of: Mapping[str, Any]) -> None:
    """Write down patients and labels of the context."""
    kept = [{"url": CONTEXT_PATIENT, "valueReference": {"reference": f"Patient/{id_}"}} for id_ in sorted(patients)]
    resource["securityContext"] = context | ({"extension": kept} if kept else {})
    labels = [*resource.get("meta", {}).get("security", ()), *of.get("meta", {}).get("security", ())]
    if labels:
        by_code = {(label.get("system"), label.get("code")): label for label in labels}
        resource["meta"] = resource.get("meta", {}) | {"security": list(by_code.values())}


async def _is_open(ctx: RequestContext, type_: str) -> bool:
    return type_ in R4.types and type_ != keep.TYPE and await policy.unrestricted(ctx, type_, "read")


async def shows(ctx: RequestContext, resource: Json) -> bool:
    """Tell whether the context of a Binary lets the caller see it: one that they see, or none that was here when it was written.

    The latter is for services that reach all of the type, whatever the context has become since.
    """
    context = resource.get("securityContext", {})
    if "reference" not in context:
        return True
    type_, _, id_ = str(context["reference"]).partition("/")
    if await context_of(ctx, type_, id_) is not None:
        return True
    return "extension" not in context and await _is_open(ctx, type_)


async def context_of(ctx: RequestContext, type_: str, id_: str) -> reads.Stored | None:
    """Return the resource that a context names, as far as the caller may read it."""
    if not id_ or "/" in id_ or type_ == keep.TYPE:
        return None
    try:
        seen = await policy.visibility(ctx, type_, "read")
    except Forbidden:
        return None
    found = await reads.read(ctx.tenant, type_, id_, seen)
    return None if found is None or found.deleted else found


# ---- attachments ----


async def _attached(ctx: RequestContext, command: Command, settings: Settings) -> None:
    resource = command.resource
    if resource is None:
        return
    moved = False
    for expression, attachment in attachments(resource, command.type):
        data = _decoded(attachment.get("data"), f"{expression}.data", settings)
        if data is None:
            continue
        _verify(attachment, data, expression)
        if len(data) > settings.blob_bytes and "url" not in attachment:
            id_ = await _own_binary(ctx, command, attachment, data)
            del attachment["data"]
            attachment |= {"url": f"{keep.TYPE}/{id_}", "size": len(data), "hash": _hash(data)}
            moved = True
    if moved:
        command.index = extract(ctx.tenant, resource)


def attachments(value: Any, expression: str) -> Iterator[tuple[str, Json]]:
    """Yield the Attachments of a resource with where they are: what has data and says of what type."""
    if isinstance(value, list):
        for at, each in enumerate(value):
            yield from attachments(each, f"{expression}[{at}]")
    elif isinstance(value, dict):
        if "contentType" in value and "data" in value:
            yield expression, value
        else:
            for name, each in value.items():
                yield from attachments(each, f"{expression}.{name}")


def _hash(data: bytes) -> str:
    return base64.b64encode(sha1(data, usedforsecurity=False).digest()).decode()


def _verify(attachment: Json, data: bytes, expression: str) -> None:
    """Raise Unprocessable when an attachment is not what its size and hash say."""
    if attachment.get("size", len(data)) != len(data):
        raise Unprocessable("The data of the attachment has another size.", "attachment-size", f"{expression}.size")
    if "hash" in attachment and "".join(str(attachment["hash"]).split()) != _hash(data):
        text = "The data of the attachment has another hash: it is SHA-1, as base64."
        raise Unprocessable(text, "attachment-hash", f"{expression}.hash")


async def _own_binary(ctx: RequestContext, owner: Command, attachment: Json, data: bytes) -> str:
    """Keep the data of an attachment as a Binary whose context is the resource that it is part of; return its id."""
    assert owner.index is not None
    assert owner.resource is not None
    secret = ctx.tenant.keystore.index_secret[:32]
    id_ = blake2b(f"{owner.type}/{owner.id}/".encode() + data, digest_size=16, key=secret).hexdigest()
    resource: Json = {"resourceType": keep.TYPE, "id": id_, "contentType": attachment["contentType"]}
    _take_over(resource, {"reference": f"{owner.type}/{owner.id}"}, owner.index.patients, owner.resource)
    command = commands.build(ctx.tenant, resource, id_)
    await _move(ctx.tenant, command, data)
    try:
        await commit(ctx.tenant, [command], [audit_row(ctx, "create", 201, type=keep.TYPE)])
    except VersionConflict:  # it is there already: the same content of the same resource
        return id_
    return id_
