"""The CapabilityStatement, from the same tables that do the work: it cannot promise what is not there (R4 `http.html`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.interactions.call import Json, Limits
from fhir_server.kit.clock import instant
from fhir_server.search.parameters import served_params
from profiles.registry import R4

SOFTWARE = {"name": "Clarity", "version": "0.1.0"}

_INTERACTIONS = (
    "read", "vread", "update", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip
_SYSTEM_INTERACTIONS = ("transaction", "batch", "history-system", "search-system")
_READ_ONLY = frozenset({"AuditEvent"})
_REFERENCES = ["literal", "logical"]


@dataclass(frozen=True, slots=True)
class Served:
    """What of the settings the statement tells."""

    limits: Limits
    canonical_base: str


def capability_statement(
    base: str, token_url: str, operations: Sequence[Json], served: Served, moment: datetime
) -> Json:
    """Return the CapabilityStatement of one base."""
    return {
        "resourceType": "CapabilityStatement",
        "id": "clarity",
        "url": f"{served.canonical_base}/CapabilityStatement/clarity",
        "version": SOFTWARE["version"],
        "name": "ClarityCapabilityStatement",
        "title": "Clarity FHIR R4 server",
        "status": "active",
        "date": instant(moment),
        "publisher": "Clarity",
        "description": _description(served.limits),
        "kind": "instance",
        "software": SOFTWARE,
        "implementation": {"description": "Clarity FHIR R4 server", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "rest": [_rest(base, token_url, operations)],
    }


def _description(limits: Limits) -> str:
    return (
        f"Limits: a request body has {limits.body_bytes} bytes at most, a batch or transaction {limits.bundle_entries}"
        f" entries; a page has {limits.page_default} entries unless _count says otherwise, {limits.page_max} at most."
    )


def _rest(base: str, token_url: str, operations: Sequence[Json]) -> Json:
    out: Json = {
        "mode": "server",
        "security": _security(base, token_url),
        "resource": [_resource(type_, operations) for type_ in R4.types],
        "interaction": [{"code": code} for code in _SYSTEM_INTERACTIONS],
        "compartment": ["http://hl7.org/fhir/CompartmentDefinition/patient"],
    }
    named = [_operation(each) for each in operations if each["system"]]
    return out | ({"operation": named} if named else {})


def _security(base: str, token_url: str) -> Json:
    return {
        "cors": False,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                        "display": "SMART-on-FHIR",
                    }
                ],
                "text": "OAuth2 with SMART scopes; see " + base + "/.well-known/smart-configuration",
            }
        ],
        "extension": [
            {
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [{"url": "token", "valueUri": token_url}],
            }
        ],
    }


def _resource(type_: str, operations: Sequence[Json]) -> Json:
    read_only = type_ in _READ_ONLY
    interactions = [code for code in _INTERACTIONS if not (read_only and code in ("update", "delete"))]
    out: dict[str, Any] = {
        "type": type_,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "interaction": [{"code": code} for code in interactions],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": not read_only,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": not read_only,
        "conditionalDelete": "not-supported" if read_only else "single",
        "referencePolicy": _REFERENCES,
        "searchParam": _params(type_),
    }
    named = [_operation(each) for each in operations if _applies(each, type_)]
    return out | ({"operation": named} if named else {})


def _params(type_: str) -> list[Json]:
    served = served_params(type_)
    return [{"name": param.name, "definition": param.url, "type": param.kind} for param in served]


def _applies(operation: Json, type_: str) -> bool:
    types = operation.get("resource", [])
    return bool(operation["type"] or operation["instance"]) and (type_ in types or "Resource" in types)


def _operation(definition: Json) -> Json:
    return {"name": definition["code"], "definition": definition["url"]}
