"""What a request of the administration API may say: a JSON object with known members of known types, all wrong ones named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from fhir_server.errors import BadRequest, Issue
from fhir_server.kit import json

_NAMES: Final[dict[type, str]] = {str: "a text", bool: "true or false", list: "a list of texts", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Field:
    """A member: its type in JSON, and whether it has to be there. A list is one of texts."""

    kind: type
    required: bool = False


Fields = Mapping[str, Field]


def read(body: bytes, fields: Fields) -> dict[str, Any]:
    """Return the members of a JSON object; BadRequest lists every one that is unknown, missing or of another type."""
    said = json.decode(body or b"{}")
    if not isinstance(said, dict):
        raise BadRequest("Send a JSON object.", "admin-malformed")
    issues = [_unknown(name, fields) for name in said if name not in fields]
    issues += [_missing(name) for name, field in fields.items() if field.required and said.get(name) is None]
    issues += [
        Issue("value", "admin-wrong-type", f"{name} is {_NAMES[fields[name].kind]}.", name)
        for name, value in said.items()
        if name in fields and value is not None and not _is(value, fields[name].kind)
    ]
    if issues:
        raise BadRequest(issues[0].text, issues[0].id, issues=issues)
    return {name: value for name, value in said.items() if value is not None}


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and (not isinstance(value, list) or all(isinstance(each, str) for each in value))


def _unknown(name: str, fields: Fields) -> Issue:
    near = get_close_matches(name, fields, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(fields)}."
    return Issue("structure", "admin-unknown-member", f"There is no member {name[:100]}: {hint}", name[:100])


def _missing(name: str) -> Issue:
    return Issue("required", "admin-missing-member", f"{name} is missing.", name)
