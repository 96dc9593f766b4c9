"""A posted Bundle taken apart: the outside is checked as a whole, the resources stay bytes until each one's turn.

A Bundle of thousands of entries is never decoded in one piece: that would hold up every other request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from msgspec import Raw

from fhir_server.errors import BadRequest, FhirError, TooLarge
from fhir_server.interactions.call import Json
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.plan import Entry, read_request
from fhir_server.kit import json
from fhir_server.validation.validate import parse_resource


@dataclass(slots=True)
class Envelope:
    """A Bundle without its resources, and the bytes of each."""

    shell: Json
    resources: list[bytes]

    @property
    def type(self) -> str:
        """Return Bundle.type."""
        return str(self.shell["type"])


async def open_envelope(data: bytes, max_entries: int) -> Envelope:
    """Split a Bundle into its outside and the bytes of its resources; raises for what the outside has wrong."""
    pace = Pace()
    outside = _members(data)
    await pace.step()
    if json.decode(bytes(outside.get("resourceType", b"null"))) != "Bundle":
        raise BadRequest("A Bundle of type batch or transaction is posted here.", "bundle-expected")
    if "entry" not in outside:
        return Envelope(parse_resource(json.encode(outside), expect="Bundle"), [])
    raw_entries = json.items(bytes(outside.pop("entry")))
    await pace.step()
    if len(raw_entries) > max_entries:
        text = f"A Bundle may have {max_entries} entries at most; this one has {len(raw_entries)}."
        raise TooLarge(text, "bundle-too-large", "Bundle.entry")
    heads, resources = [], []
    for position, raw in enumerate(raw_entries):
        head = _entry_members(bytes(raw), position)
        resources.append(bytes(head.pop("resource", b"")))
        heads.append(head or _BARE)
        await pace.step()
    return Envelope(await _checked(outside, heads, pace), resources)


async def _checked(outside: dict[str, Raw], heads: list[dict[str, Raw]], pace: Pace) -> Json:
    """Check the Bundle without its resources, some entries at a time, and return it decoded."""
    entries: list[Json] = []
    shell: Json = {}
    for start in range(0, max(len(heads), 1), _AT_ONCE):
        part = heads[start : start + _AT_ONCE]
        try:
            shell = parse_resource(json.encode(outside | {"entry": part}), expect="Bundle")
        except FhirError as error:
            raise _moved(error, start) from None
        entries += shell["entry"]
        await pace.step()
    return shell | {"entry": entries}


def _moved(error: FhirError, start: int) -> FhirError:
    """Return the error of a part with the positions that its entries have in the whole."""
    error.issues = [
        replace(issue, expression=_ENTRY.sub(lambda m: f"{m[1]}{int(m[2]) + start}]", issue.expression or "Bundle"))
        for issue in error.issues
    ]
    return error


_AT_ONCE = 100
_ENTRY = re.compile(r"^(Bundle\.entry\[)(\d+)\]")
_BARE = {"id": Raw(b'"bare"')}
"""Stands for an entry that is nothing but its resource: without it the outside would be an empty object."""


def _members(data: bytes) -> dict[str, Raw]:
    try:
        return json.members(data)
    except RecursionError:
        raise BadRequest(f"The JSON is nested deeper than {json.MAX_DEPTH} levels", "json-depth") from None


def _entry_members(raw: bytes, position: int) -> dict[str, Raw]:
    try:
        json.guard(raw)
        return json.members(raw)
    except FhirError as error:
        raise error.within(f"Bundle.entry[{position}]") from None


def read_entries(envelope: Envelope, base: str) -> Iterator[Entry | FhirError]:
    """Yield each entry, its resource still bytes, or what is wrong with its request."""
    heads = envelope.shell.get("entry", [])
    for position, (head, raw) in enumerate(zip(heads, envelope.resources, strict=True)):
        try:
            entry = read_request(position, head.get("fullUrl"), head.get("request"), base)
        except FhirError as error:
            yield error
        else:
            entry.raw = raw
            yield entry
