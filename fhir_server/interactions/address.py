"""Addresses: the part of a URL below the base, for HTTP requests and Bundle entries alike (R4 `http.html`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl

from fhir_server.errors import BadRequest, NotFound
from profiles.registry import R4

Kind = Literal[
    "system", "metadata", "type", "instance", "version", "history-system", "history-type", "history-instance",
    "search-system", "search-type", "compartment", "search-compartment", "operation", "async",
]  # fmt: skip

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_OPERATION = re.compile(r"\$[A-Za-z][A-Za-z0-9\-]{0,63}")

ALL = "*"
"""Where a type stands inside a compartment: every type."""

Params = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Address:
    """What a path means: its kind and the names in it."""

    kind: Kind
    type: str | None = None
    id: str | None = None
    version: str | None = None
    operation: str | None = None
    member: str | None = None
    """The type searched inside a compartment, as in Patient/1/Observation; `*` for all of them."""


_FIXED = {
    "metadata": Address("metadata"),
    "_history": Address("history-system"),
    "_search": Address("search-system"),
}


def is_id(text: str) -> bool:
    """Tell whether `text` is a FHIR id: 1 to 64 letters, digits, `-` and `.`."""
    return _ID.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def parse_address(path: str) -> Address:
    """Parse a path below the base, without leading or trailing slash; NotFound for what cannot be an address here."""
    if not path:
        return Address("system")
    first, *rest = path.split("/")
    if R4.is_type(first):
        return _type_level(first, rest)
    if first.startswith("$"):
        return _operation(rest, first)
    fixed = {
        "metadata": Address("metadata"),
        "_history": Address("history-system"),
        "_search": Address("search-system"),
    }
    if first in fixed and not rest:
        return fixed[first]
    if first == "_async" and len(rest) == 1 and is_id(rest[0]):
        return Address("async", id=rest[0])
    raise NotFound(
        "There is no resource type or endpoint of this name; resource types are written as in R4, such as Patient.",
        "unknown-address",
    )


def _type_level(type_: str, rest: list[str]) -> Address:
    if not rest:
        return Address("type", type_)
    first, *more = rest
    if first.startswith("$"):
        return _operation(more, first, type_)
    if first == "_history" and not more:
        return Address("history-type", type_)
    if first == "_search" and not more:
        return Address("search-type", type_)
    if not is_id(first):
        raise BadRequest("An id has 1 to 64 characters of A-Z, a-z, 0-9, '-' and '.'.", "id-malformed")
    return _instance_level(type_, first, more)


def _instance_level(type_: str, id_: str, rest: list[str]) -> Address:
    if not rest:
        return Address("instance", type_, id_)
    first, *more = rest
    if first.startswith("$"):
        return _operation(more, first, type_, id_)
    if first == "_history":
        if not more:
            return Address("history-instance", type_, id_)
        if len(more) == 1 and is_id(more[0]):
            return Address("version", type_, id_, more[0])
        if len(more) == 2 and is_id(more[0]) and _OPERATION.fullmatch(more[1]):
            return Address("operation", type_, id_, more[0], operation=more[1][1:])
    if (R4.is_type(first) or first == ALL) and more in ([], ["_search"]):
        return Address("search-compartment" if more else "compartment", type_, id_, member=first)
    raise _nothing()


def _operation(rest: list[str], name: str, type_: str | None = None, id_: str | None = None) -> Address:
    if rest or not _OPERATION.fullmatch(name):
        raise _nothing()
    return Address("operation", type_, id_, operation=name[1:])


def _nothing() -> NotFound:
    return NotFound("There is nothing at this address.", "unknown-address")


_MAX_QUERY = 16_384
_MAX_PARAMS = 500


def parse_query(text: str) -> Params:
    """Return the name=value pairs of a query string or form, decoded, in order; BadRequest when it is not UTF-8."""
    if not text:
        return []
    if len(text) > _MAX_QUERY * 4:
        raise BadRequest(f"A query may have {_MAX_QUERY * 4} characters at most.", "query-too-long")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMS)
    except UnicodeDecodeError as error:
        raise BadRequest("The query is not UTF-8; percent-encode it as UTF-8.", "query-encoding") from error
    except ValueError as error:
        raise BadRequest(f"A query may have {_MAX_PARAMS} parameters at most.", "query-too-long") from error
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise BadRequest("The query holds U+0000, which no FHIR value can.", "query-encoding")
    return pairs


_FORM = frozenset({"_format", "_pretty"})


def stray(params: Params) -> BadRequest | None:
    """Return the refusal of parameters where an interaction takes none; silence would pass for doing what they ask."""
    name = next((name for name, _ in params if name not in _FORM), None)
    if name is None:
        return None
    text = "This interaction takes no parameters; the criteria of a conditional create stand in If-None-Exist."
    return BadRequest(text, "parameter-stray")


def refuse_stray(params: Params) -> None:
    """Raise BadRequest when there are parameters that the interaction does not take."""
    error = stray(params) if params else None
    if error is not None:
        raise error


def parse_criteria(text: str, type_: str) -> Params:
    """Return the criteria of an If-None-Exist, which may be written with or without `[base/]Type?` before them."""
    head, mark, rest = text.partition("?")
    named = bool(mark) and (head == "" or head.rsplit("/", 1)[-1] == type_)
    return parse_query(rest if named else text)


def split_url(url: str, base: str) -> tuple[str, str]:
    """Split the url of a Bundle entry into (path below the base, query); BadRequest when it points elsewhere."""
    if url.startswith(base):
        url = url[len(base) :]
    elif "://" in url.split("?")[0]:
        raise BadRequest("This url is on another server; entries are addressed relative to this base.", "entry-url")
    path, _, query = url.partition("?")
    return path.strip("/"), query
