"""From an answer to its page: which page it is follows from what was done and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.http.browse import bundles, outcomes, raw, resource, statement
from fhir_server.http.browse.visit import Visit
from fhir_server.kit import json


def page(visit: Visit, body: bytes) -> bytes:
    """Return the page of an answer whose body is JSON."""
    if visit.view and visit.status < 400:
        return raw.page(visit, body)
    if visit.interaction == "capabilities" and visit.status < 400:
        return statement.page(visit, body)
    content = json.decode_trusted(body)
    return _kind(visit, content)(visit, content)


def _kind(visit: Visit, content: dict[str, Any]) -> Callable[[Visit, dict[str, Any]], bytes]:
    if visit.status >= 400 or content.get("resourceType") == "OperationOutcome":
        return outcomes.page
    stored = visit.interaction in ("read", "vread")
    if not stored and content.get("resourceType") == "Bundle" and content.get("type") in bundles.ANSWERS:
        return bundles.page
    return resource.page
