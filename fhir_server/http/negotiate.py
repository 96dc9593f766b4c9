"""Which format comes in and goes out (R4 `http.html#mime-type`, RFC 9110 §12.5.1): JSON and XML both ways, HTML out.

`_format` goes before Accept. A client that asks for a generic type (`application/xml`) gets that type, else the FHIR one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from fhir_server.errors import NotAcceptable, UnsupportedMedia
from fhir_server.interactions.call import JSON_PATCH, PATCH_FORMATS

Kind = Literal["json", "xml", "html"]

FHIR_JSON: Final = "application/fhir+json"
FHIR_XML: Final = "application/fhir+xml"
FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Face:
    """How an answer looks: the kind of text, and the Content-Type that says so."""

    kind: Kind
    content_type: bytes


def _face(kind: Kind, media: str) -> Face:
    return Face(kind, f"{media};charset=utf-8".encode())


JSON: Final = _face("json", FHIR_JSON)
XML: Final = _face("xml", FHIR_XML)
HTML: Final = _face("html", "text/html")

_MEDIA: Final[dict[str, Face]] = {
    FHIR_JSON: JSON,
    "application/json": _face("json", "application/json"),
    "text/json": _face("json", "text/json"),
    FHIR_XML: XML,
    "application/xml": _face("xml", "application/xml"),
    "text/xml": _face("xml", "text/xml"),
    "text/html": HTML,
}
"""In the order in which we would choose ourselves."""
_NAMED: Final = _MEDIA | {"application/json+fhir": JSON, "application/xml+fhir": XML}
"""With the names of before R3."""

_SHORT: Final = {"json": JSON, "xml": XML, "html": HTML, "*/*": JSON}
_WILD: Final = {"*/*": JSON, "application/*": JSON, "text/*": _MEDIA["text/json"]}
_BODIES: Final = {name: face.kind for name, face in _NAMED.items() if face is not HTML}


def _media(text: str) -> tuple[str, dict[str, str]]:
    kind, *rest = text.split(";")
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"').lower()
    return kind.strip().lower(), parameters


def _is_r4(parameters: dict[str, str]) -> bool:
    return parameters.get("fhirversion", "4.0") in ("4.0", "4.0.1")


def _quality(parameters: dict[str, str]) -> float:
    try:
        return min(max(float(parameters.get("q", "1")), 0.0), 1.0)
    except ValueError:
        return 0.0


@lru_cache(maxsize=512)
def accepted(accept: str) -> Face | None:
    """Return how an answer to this Accept header looks; None when there is no way that it takes.

    The highest quality wins, then what is named over what a range covers, then what comes first.
    """
    ranges = [_media(part) for part in accept.split(",") if part.strip()]
    if not ranges:
        return JSON
    named = {kind: _quality(parameters) for kind, parameters in reversed(ranges) if _is_r4(parameters)}
    best, found = 0.0, None
    for kind, parameters in ranges:
        face = _NAMED.get(kind)
        if face is not None and _is_r4(parameters) and named[kind] > best:
            best, found = named[kind], face
    for kind, face in _WILD.items():
        if named.get(kind, 0.0) > best:
            found = _covered(kind, face, named)
            best = named[kind] if found else best
    return found


def _covered(wild: str, usual: Face, named: dict[str, float]) -> Face | None:
    """Return what a range covers that is not refused by name (`application/json;q=0, */*`): the usual, else the first."""
    major = wild.removesuffix("*")
    covered = [(name, face) for name, face in _MEDIA.items() if wild == "*/*" or name.startswith(major)]
    usual_first = sorted(covered, key=lambda pair: pair[1] is not usual)
    return next((face for name, face in usual_first if name not in named), None)


@lru_cache(maxsize=512)
def asked_format(value: str) -> Face | None:
    """Return how an answer to this `_format` looks; a blank in it was a plus sign."""
    kind, parameters = _media(value.strip())
    face = _SHORT.get(kind) or _NAMED.get(kind.replace(" ", "+"))
    return face if _is_r4(parameters) else None


def not_acceptable() -> NotAcceptable:
    """Return the refusal of formats and versions that are not served."""
    return NotAcceptable(
        f"This server answers in {FHIR_JSON}, {FHIR_XML} and text/html, all of fhirVersion 4.0; ask for one.",
        "format-unknown",
    )


@lru_cache(maxsize=512)
def patch_media(text: str) -> str:
    """Return the media type of a patch that is no resource, "" for one that is; UnsupportedMedia says what is taken."""
    kind, parameters = _media(text)
    try:
        check_content_type(f"{FHIR_JSON};charset={parameters.get('charset', 'utf-8')}" if kind == JSON_PATCH else text)
    except UnsupportedMedia as error:
        text = f"A patch is sent as {' or '.join(PATCH_FORMATS)}. {error.text}"
        raise UnsupportedMedia(text, error.id, headers={"Accept-Patch": ", ".join(PATCH_FORMATS)}) from error
    return JSON_PATCH if kind == JSON_PATCH else ""


@lru_cache(maxsize=512)
def check_content_type(text: str, *, form: bool = False) -> None:
    """Raise UnsupportedMedia unless a body of this Content-Type can be read; a missing one is taken as JSON."""
    kind, parameters = _media(text)
    if parameters.get("charset", "utf-8") not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia("Bodies are read as UTF-8 only.", "charset-unknown")
    if form:
        if kind not in ("", FORM):
            raise UnsupportedMedia(f"A search is posted as {FORM}.", "content-type")
    elif kind and kind not in _BODIES:
        raise UnsupportedMedia(f"Send {FHIR_JSON} or {FHIR_XML}; this Content-Type is not read here.", "content-type")
    elif not _is_r4(parameters):
        raise UnsupportedMedia("This server speaks FHIR R4 (fhirVersion=4.0) only.", "fhir-version")


@lru_cache(maxsize=512)
def is_xml(content_type: str) -> bool:
    """Tell whether a body of this Content-Type is a resource in XML."""
    return _BODIES.get(_media(content_type)[0]) == "xml"
