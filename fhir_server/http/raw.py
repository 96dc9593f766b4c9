"""Binary as it is: bodies that are no resource come in, content that is no resource goes out (R4 `binary.html#rest`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from fhir_server.errors import BadRequest
from fhir_server.http.edge import Scope
from fhir_server.http.negotiate import FHIR_JSON, FHIR_XML
from fhir_server.interactions.binary import TYPE
from fhir_server.interactions.call import Call, Json
from fhir_server.interactions.contents import too_large
from fhir_server.kit import json
from fhir_server.operations import invoke
from fhir_server.settings import Settings

__all__ = ["TYPE", "ask", "is_raw", "wrapped"]

_FHIR = frozenset({FHIR_JSON, FHIR_XML, "application/json+fhir", "application/xml+fhir"})
_ALSO = frozenset({"application/json", "application/xml", "text/json", "text/xml", "text/html"})
"""Types that a FHIR client may ask for a resource by, too."""
_SECURITY_CONTEXT = "x-security-context"


def _kind(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def is_raw(call: Call, content_type: str, body: bytes) -> bool:
    """Tell whether a body is the content of a Binary and no resource: whatever has not a type of FHIR's.

    JSON and XML under their general names are a Binary when they say that they are one, else content. To an operation that takes a
    Binary a file may be sent as it is, too.
    """
    kind = _kind(content_type)
    if invoke.takes_file(call):
        return bool(body) and bool(kind) and kind not in _FHIR | _ALSO
    wanted = {"POST": "type", "PUT": "instance"}.get(call.method)
    if call.address.type != TYPE or call.address.kind != wanted or not body:
        return False
    if kind in _FHIR or not kind:
        return False
    if kind in ("application/json", "text/json"):
        return b'"resourceType"' not in body or b'"Binary"' not in body
    if kind in ("application/xml", "text/xml"):
        return b"<Binary" not in body
    return True


def wrapped(call: Call, body: bytes, headers: Mapping[str, str], settings: Settings) -> bytes:
    """Return the Binary with this content, as JSON; `X-Security-Context` is its securityContext."""
    if len(body) > settings.max_binary_bytes:
        raise too_large(settings.max_binary_bytes)
    media = headers["content-type"].strip()
    if not media.isascii() or not media.isprintable() or "/" not in media or len(media) > 200:
        raise BadRequest("The Content-Type of a Binary is a media type such as application/pdf.", "content-type")
    made: Json = {"resourceType": TYPE, "contentType": " ".join(media.split())}
    if call.address.id and call.address.type == TYPE:
        made["id"] = call.address.id
    if _SECURITY_CONTEXT in headers:
        made["securityContext"] = {"reference": headers[_SECURITY_CONTEXT].strip()}
    made["data"] = base64.b64encode(body).decode()
    return json.encode(made)


def ask(call: Call, headers: Mapping[str, str], scope: Scope) -> None:
    """Note whether the content is wanted as it is: unless the caller names a format of FHIR's, or a page."""
    if call.address.kind not in ("instance", "version") or b"_format=" in scope["query_string"]:
        return
    named = {_kind(part) for part in headers.get("accept", "*/*").split(",")}
    call.native = named.isdisjoint(_FHIR | _ALSO)
    if call.native and "if-range" not in headers:  # our ETags are weak: If-Range never holds (RFC 9110 §13.1.5)
        call.range = headers.get("range")
