"""What comes back is looked at before anybody uses it: its form, its citations, its pseudonyms, and what must not be in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import jsonschema
from jsonschema.exceptions import SchemaError

from fhir_server.errors import BadRequest
from fhir_server.kit import json
from workers.gateway.deid.pseudonyms import Pseudonyms, restore, unknown
from workers.gateway.errors import Garbled
from workers.gateway.task import CITES

_FENCE: Final = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n\s*```\s*\Z", re.DOTALL)
_FOREIGN: Final = re.compile(
    r"\b(?:https?|ftp|javascript)\s*:|\bdata:\s*(?:[a-z][\w.+-]*/[\w.+-]+|[;,])|www\.|<\s*/?\s*[a-z!][^>]*>|!?\[[^\]]*\]\([^)]*\)",
    re.IGNORECASE,
)
"""Addresses and markup: what went out had none, so this is the model's own, or a note's instruction that it followed.

`data:` alone is how sentences of ours count days ("days with data: 29"); an address of that scheme (RFC 2397) goes on with a type.
"""


def checked(
    text: str, schema: Mapping[str, Any], ids: frozenset[str], pseudonyms: Pseudonyms, mark: str
) -> dict[str, Any]:
    """Return the answer with pseudonyms and dates turned back; Garbled says which check it does not pass, not what it says."""
    fenced = _FENCE.match(text)
    try:
        content = json.decode((fenced[1] if fenced else text).encode())
    except BadRequest:
        raise Garbled("The language model's answer is no JSON.", "no-json") from None
    if not isinstance(content, dict):
        raise Garbled("The language model's answer is no JSON object.", "no-json")
    _shaped(content, schema)
    for key, each in _strings(content):
        if mark in each:
            raise Garbled("The language model repeats the marks around the data.", "marks")
        if key == CITES:
            if each not in ids:
                raise Garbled("The language model cites what it was not given.", "citation")
        elif _FOREIGN.search(each):
            raise Garbled("The language model's answer has a web address or markup.", "address")
        elif unknown(each, pseudonyms):
            raise Garbled("The language model's answer names a person or thing that it was not given.", "name")
    restored: dict[str, Any] = _mapped(content, partial(restore, pseudonyms=pseudonyms))
    return restored


def _shaped(content: dict[str, Any], schema: Mapping[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(dict(schema))
    try:
        wrong = next(iter(validator.iter_errors(content)), None)
    except SchemaError as error:
        raise ValueError("the schema of the task is no JSON Schema") from error
    if wrong is not None:
        # the path is of our schema's property names and positions; the message would quote the answer
        raise Garbled(
            f"The language model's answer has another shape than asked for, at {wrong.json_path}: {wrong.validator}.",
            "shape",
        )


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string with the property that it is in."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each, key)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _strings(each, name)


def _mapped(value: Any, change: Callable[[str], str], key: str = "") -> Any:
    if isinstance(value, str):
        return value if key == CITES else change(value)
    if isinstance(value, list):
        return [_mapped(each, change, key) for each in value]
    if isinstance(value, dict):
        return {name: _mapped(each, change, name) for name, each in value.items()}
    return value
