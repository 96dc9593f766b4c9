"""Which format comes in and goes out: JSON both ways; everything else is refused with a sentence."""

from __future__ import annotations

from functools import lru_cache

from fhir_server.errors import NotAcceptable, UnsupportedMedia
from fhir_server.interactions.call import JSON_PATCH, PATCH_FORMATS

FHIR_JSON = "application/fhir+json"
JSON_TYPES = frozenset({FHIR_JSON, "application/json", "text/json"})
_RANGES = JSON_TYPES | {"*/*", "application/*", "text/*", "application/json+fhir"}
_FORMATS = JSON_TYPES | {"json", "application/fhir json", "*/*"}
FORM = "application/x-www-form-urlencoded"


def _media(text: str) -> tuple[str, dict[str, str]]:
    kind, *rest = text.split(";")
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"').lower()
    return kind.strip().lower(), parameters


def _is_r4(parameters: dict[str, str]) -> bool:
    return parameters.get("fhirversion", "4.0") in ("4.0", "4.0.1")


def _wanted(range_: str) -> bool:
    kind, parameters = _media(range_)
    return kind in _RANGES and _is_r4(parameters) and parameters.get("q", "1") not in ("0", "0.0", "0.00", "0.000")


@lru_cache(maxsize=512)
def check_accept(accept: str) -> None:
    """Raise NotAcceptable unless the Accept header takes JSON of R4."""
    if accept and not any(_wanted(range_) for range_ in accept.split(",")):
        raise NotAcceptable(
            f"This server answers in {FHIR_JSON} (fhirVersion 4.0) only; ask for that.", "format-unknown"
        )


def check_format(value: str) -> None:
    """Raise NotAcceptable unless the `_format` parameter asks for JSON."""
    kind, parameters = _media(value)
    if kind not in _FORMATS or not _is_r4(parameters):
        raise NotAcceptable(
            "_format can be json or application/fhir+json; other formats are not served.", "format-unknown"
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
    elif kind and kind not in JSON_TYPES:
        raise UnsupportedMedia(f"Send {FHIR_JSON}; this Content-Type is not read here.", "content-type")
    elif not _is_r4(parameters):
        raise UnsupportedMedia("This server speaks FHIR R4 (fhirVersion=4.0) only.", "fhir-version")
