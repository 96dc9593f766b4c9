"""Texts of attachments that a note may quote: of documents and messages, small and plain, as far as the caller sees them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from fhir_server.auth import labels
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError
from fhir_server.interactions import binary
from fhir_server.interactions.call import Json
from fhir_server.search.extract import CONTEXT_PATIENT
from workers.notes.document import draft_of

LONGEST: Final = 200_000
"""Bytes of a text at most; longer ones are quoted as far as this."""


def psychotherapy(resource: Json) -> bool:
    """Tell whether a resource is a psychotherapy note, which nothing is ever gathered from."""
    given = list(resource.get("meta", {}).get("security", ()))
    given += [c for each in resource.get("securityLabel", ()) for c in each.get("coding", ())]
    return any(label.get("code") == labels.NOTES for label in given)


async def texts(ctx: RequestContext, resources: Iterable[Json]) -> tuple[dict[str, str], frozenset[str]]:
    """Return the texts of attachments by Type/id, and which could not be read, or not whole."""
    found: dict[str, str] = {}
    unread: set[str] = set()
    for resource in resources:
        name = f"{resource['resourceType']}/{resource['id']}"
        for each in _attachments(resource):
            if not str(each.get("contentType", "text/plain")).startswith("text/"):
                continue
            try:
                data = await _content(ctx, each, resource)
            except (FhirError, binascii.Error):  # erased, its store is away, or no Base64
                data = None
            if data is not None:
                found[name] = f"{found.get(name, '')}\n{_plain(each, data)}".strip()
            if data is None or len(data) > LONGEST:
                unread |= {name}
    return found, frozenset(unread)


def _attachments(resource: Json) -> Iterator[Any]:
    if draft_of(resource) is None:
        yield from (each.get("attachment", {}) for each in resource.get("content", ()) if isinstance(each, dict))
    for each in resource.get("payload", ()):
        if "contentAttachment" in each:
            yield each["contentAttachment"]
        reference = str(each.get("contentReference", {}).get("reference", ""))
        if "Binary/" in reference:
            yield {"url": reference}
    yield from resource.get("presentedForm", ())


def _plain(attachment: Json, data: bytes) -> str:
    text = data[:LONGEST].decode(errors="replace")
    return re.sub(r"<[^>]*>", " ", text) if "html" in str(attachment.get("contentType")) else text


async def _content(ctx: RequestContext, attachment: Json, resource: Json) -> bytes | None:
    """Return what an attachment holds, or the Binary that it names; nothing of psychotherapy notes, None of what is not there.

    None too of a Binary that is somebody else's, or not what the attachment's hash says.
    """
    if "data" in attachment:
        return base64.b64decode(attachment["data"], validate=True)
    type_, _, id_ = str(attachment.get("url", "")).removeprefix(f"{ctx.base}/").partition("/")
    if type_ != "Binary" or not id_ or "/" in id_:
        return None
    found = await binary.content(ctx, id_, LONGEST)
    if found is None:
        return None
    if psychotherapy(found[0]):
        return b""
    return found[1] if is_of(found[0], resource) and is_whole(attachment, found[1], LONGEST) else None


def is_of(content: Json, resource: Json) -> bool:
    """Tell whether a Binary is a resource's or its patient's; one without a context is nobody else's."""
    context = content.get("securityContext")
    if context is None or context.get("reference") == f"{resource['resourceType']}/{resource['id']}":
        return True
    noted = [each["valueReference"] for each in context.get("extension", ()) if each["url"] == CONTEXT_PATIENT]
    named = {each.get("reference") for each in (context, *noted)}
    own = (resource.get("subject") or resource.get("patient") or {}).get("reference")
    return {name for name in named if str(name).startswith("Patient/")} == {own}


def is_whole(attachment: Json, data: bytes, longest: int | None = None) -> bool:
    """Tell whether content is what the attachment's hash says, as far as it says one; of content cut at `longest` nobody knows."""
    if "hash" not in attachment or (longest is not None and len(data) > longest):
        return True
    said = "".join(str(attachment["hash"]).split())
    return said == base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
