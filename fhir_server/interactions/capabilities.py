"""The CapabilityStatement, from the same tables that do the work: it cannot promise what is not there (R4 `http.html`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from fhir_server.interactions.call import PATCH_FORMATS, Json, Limits
from fhir_server.interactions.patch import UNPATCHED
from fhir_server.kit.clock import instant
from fhir_server.search.hops import MAX_DEPTH
from fhir_server.search.include import APART, references
from fhir_server.search.modifier_table import documentation
from fhir_server.search.parameters import behind, remembered, served_params
from profiles.psych.structures import structures
from profiles.registry import R4

SOFTWARE = {"name": "Clarity", "version": "0.1.0"}

_INTERACTIONS = (
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip
_SYSTEM_INTERACTIONS = ("transaction", "batch", "history-system", "search-system")
_READ_ONLY = frozenset({"AuditEvent"})
_CHANGING = frozenset({"update", "patch", "delete"})
_OAUTH_ENDPOINTS = ("authorize", "token", "introspect", "revoke", "register")
_BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/{}"
_REFERENCES = ["literal", "logical"]
_DOCUMENTATION = (
    "PATCH takes search criteria too (conditional patch); in a Bundle a JSON Patch is the content of a Binary. X-Provenance is kept"
    " with the versions that a create, update, patch, delete or transaction makes."
)


@dataclass(frozen=True, slots=True)
class Served:
    """What of the settings the statement tells."""

    limits: Limits
    canonical_base: str
    topics: tuple[str, ...] = ()
    """Canonicals of what can be subscribed to."""


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
        "instantiates": [_BACKPORT.format("CapabilityStatement/backport-subscription-server-r4")],
        "software": SOFTWARE,
        "implementation": {"description": "Clarity FHIR R4 server", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml", "text/html"],
        "patchFormat": list(PATCH_FORMATS),
        "rest": [_rest(base, token_url, operations, served)],
    }


def _description(limits: Limits) -> str:
    return (
        f"Limits: a request body has {limits.body_bytes} bytes at most, a batch or transaction {limits.bundle_entries}"
        f" entries; a page has {limits.page_default} entries unless _count says otherwise, {limits.page_max} at most, and"
        f" includes {limits.included_max} more at most. A chain or _has goes through {MAX_DEPTH} resources at most."
    )


def _rest(base: str, token_url: str, operations: Sequence[Json], served: Served) -> Json:
    out: Json = {
        "mode": "server",
        "documentation": _DOCUMENTATION,
        "security": _security(base, token_url),
        "resource": [_resource(type_, operations) | _more(type_, served) for type_ in R4.types],
        "interaction": [{"code": code} for code in _SYSTEM_INTERACTIONS],
        "compartment": [f"http://hl7.org/fhir/CompartmentDefinition/{name.lower()}" for name in R4.compartments],
    }
    named = [_operation(each) for each in operations if each["system"]]
    return out | ({"operation": named} if named else {})


def _security(base: str, token_url: str) -> Json:
    return {
        "cors": True,
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
                "extension": [
                    {"url": name, "valueUri": token_url.removesuffix("token") + name} for name in _OAUTH_ENDPOINTS
                ],
            }
        ],
    }


def _resource(type_: str, operations: Sequence[Json]) -> Json:
    read_only = type_ in _READ_ONLY
    without = _CHANGING if read_only else {"patch"} if type_ in UNPATCHED else frozenset()
    interactions = [code for code in _INTERACTIONS if code not in without]
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
        "searchInclude": _includes(type_),
        "searchRevInclude": _reverse_includes(type_),
        "searchParam": _params(type_),
    }
    named = [_operation(each) for each in operations if _applies(each, type_)]
    out = {name: value for name, value in out.items() if value != []}
    return out | ({"operation": named} if named else {})


def _more(type_: str, served: Served) -> Json:
    """Return the profiles that are published here, and of Subscription the profile and the topics of the backport."""
    if type_ != "Subscription":
        named = _profiles(served.canonical_base).get(type_)
        return {"supportedProfile": named} if named else {}
    extension = {"url": _BACKPORT.format("StructureDefinition/capabilitystatement-subscriptiontopic-canonical")}
    return {
        "supportedProfile": [_BACKPORT.format("StructureDefinition/backport-subscription")],
        "extension": [extension | {"valueCanonical": url} for url in served.topics],
    }


@cache
def _profiles(base: str) -> dict[str, list[str]]:
    """Type -> our profiles of it."""
    found: dict[str, list[str]] = {}
    for each in structures(base):
        if each["kind"] == "resource":
            found.setdefault(each["type"], []).append(each["url"])
    return found


def _includes(type_: str) -> list[str]:
    """Return what `_include` follows from a type."""
    named = [] if type_ in APART else [f"{type_}:{name}" for name in references(type_)]
    return ["*", f"{type_}:*", *named] if named else []


@remembered
def _referring() -> dict[str, list[str]]:
    """Type -> what `_revinclude` finds that refers to it; under "" what may refer to any."""
    found: dict[str, list[str]] = {}
    for source in (each for each in R4.types if each not in APART):
        for param in references(source).values():
            for target in param.targets or ("",):
                found.setdefault(target, []).append(f"{source}:{param.name}")
    return found


def _reverse_includes(type_: str) -> list[str]:
    return [] if type_ in APART else ["*", *_referring().get(type_, ()), *_referring()[""]]


def _params(type_: str) -> list[Json]:
    served = [param for param in served_params(type_) if not behind(param)]
    named = [{"name": param.name, "definition": param.url, "type": param.kind} for param in served]
    if type_ in _READ_ONLY:  # the trail has a search of its own
        return named
    said = (documentation(type_, param) for param in served)
    return [each | {"documentation": text} for each, text in zip(named, said, strict=True)]


def _applies(operation: Json, type_: str) -> bool:
    types = operation.get("resource", [])
    return bool(operation["type"] or operation["instance"]) and (type_ in types or "Resource" in types)


def _operation(definition: Json) -> Json:
    return {"name": definition["code"], "definition": definition["url"]}
