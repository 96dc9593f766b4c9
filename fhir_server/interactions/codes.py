"""The restful-interaction code of a method at a kind of address (R4 `valueset-type-restful-interaction.html`)."""

from __future__ import annotations

from fhir_server.interactions.address import Kind

_CODES: dict[tuple[str, Kind], str] = {
    ("GET", "metadata"): "capabilities",
    ("GET", "instance"): "read",
    ("GET", "version"): "vread",
    ("PUT", "instance"): "update",
    ("PUT", "type"): "update",
    ("PATCH", "instance"): "patch",
    ("PATCH", "type"): "patch",
    ("DELETE", "instance"): "delete",
    ("DELETE", "type"): "delete",
    ("POST", "type"): "create",
    ("GET", "type"): "search-type",
    ("POST", "search-type"): "search-type",
    ("GET", "compartment"): "search-type",
    ("POST", "search-compartment"): "search-type",
    ("GET", "system"): "search-system",
    ("POST", "search-system"): "search-system",
    ("GET", "history-instance"): "history-instance",
    ("GET", "history-type"): "history-type",
    ("GET", "history-system"): "history-system",
    ("POST", "system"): "batch",
}


def interaction_of(method: str, kind: Kind) -> str:
    """Return the code; `operation` for operations and for what is no interaction of R4."""
    return _CODES.get((method, kind), "operation")
