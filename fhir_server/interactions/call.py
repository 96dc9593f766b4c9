"""What an interaction is asked and what it answers: the same for an HTTP request and for an entry of a Bundle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from fhir_server.context import RequestContext
from fhir_server.errors import BadSearch, Issue
from fhir_server.interactions.address import Address, Params
from fhir_server.interactions.conditions import NO_CONDITIONS, Conditions
from fhir_server.storage.commands import AuditRow

Return = Literal["minimal", "representation", "OperationOutcome"]

JSON_PATCH = "application/json-patch+json"
PATCH_FORMATS = (JSON_PATCH, "application/fhir+json", "application/fhir+xml")
"""What a patch may be sent as: a JSON Patch, or a FHIRPath Patch as Parameters."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may ask for at most, and gets when it does not say; told in the CapabilityStatement."""

    body_bytes: int = 64 * 1024 * 1024
    bundle_entries: int = 10_000
    page_default: int = 50
    page_max: int = 1000
    included_max: int = 1000
    lag_seconds: int = 120
    """How far workers may be behind before `$ingest` asks to come back later."""
    canonical_base: str = "https://fhir.clarity.example"
    """Stem of the canonical URLs of our own artefacts."""

    def count(self, text: str | None) -> int:
        """Return how many entries a page gets; BadSearch unless `_count` is a whole number."""
        if text is None:
            return self.page_default
        if not (text.isascii() and text.isdigit()):
            raise BadSearch("_count is a whole number, 0 or more.", "search-count", "_count")
        return min(int(text[:9]), self.page_max)


LIMITS = Limits()


@dataclass(slots=True)
class Call:
    """One interaction that is asked for."""

    method: str
    address: Address
    params: Params = field(default_factory=list)
    conditions: Conditions = NO_CONDITIONS
    returns: Return | None = None
    body: bytes = b""
    media: str = ""
    """`application/json-patch+json` when the body is one, else empty: a resource."""
    provenance: bytes | None = None
    """The Provenance of `X-Provenance`, as it came."""
    native: bool = False
    """The content of a Binary is wanted as it is (R4 `binary.html#rest`)."""
    range: str | None = None
    """The Range header, where it is to be obeyed."""
    perform: Perform | None = None
    """How the entries of a Bundle are performed; set by the edge, so that no interaction imports the operations."""
    nested: bool = False
    """It stands in a Bundle."""
    limits: Limits = LIMITS
    charge: Callable[[int], Awaitable[object]] | None = None
    """Counts what a Bundle has entries beyond the first; None where nobody is counted."""
    later: str | None = None
    """The path below the base, when the caller prefers an answer later (`asynchronous.py`)."""
    statement: Callable[[Params], Result] | None = None
    """What `metadata` answers to an entry of a Bundle; set by the edge, which knows what the server offers."""


@dataclass(slots=True)
class Content:
    """The bytes of an answer that is no resource: their media type, how many, and they themselves, piece by piece."""

    media: str
    size: int
    pieces: AsyncIterator[bytes]


@dataclass(slots=True)
class Result:
    """What came of it; `body` is JSON bytes."""

    status: int
    body: bytes = b""
    version: int | None = None
    last_modified: datetime | None = None
    location: str | None = None
    """Absolute, with version, where a resource was made or changed."""
    issues: list[Issue] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    """Rows that have to be durable before the body may leave; writes have theirs in the commit."""
    audited: bool = False
    """Its rows, these or those of its commits, are durable already."""
    resource_type: str | None = None
    content: Content | None = None
    """What goes out in place of `body`."""
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[RequestContext, Call], Awaitable[Result]]
Perform = Callable[[RequestContext, Call], Awaitable[Result]]

Json = dict[str, Any]
