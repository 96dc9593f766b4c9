"""`/openapi.json`: the same tables as the CapabilityStatement, as OpenAPI 3.1 for tools that do not read FHIR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.http.perform import HANDLERS
from fhir_server.interactions.address import Kind
from fhir_server.interactions.call import JSON_PATCH, PATCH_FORMATS, Json
from fhir_server.interactions.capabilities import SOFTWARE
from fhir_server.interactions.codes import interaction_of
from profiles.registry import R4

_PATHS: tuple[tuple[str, Kind], ...] = (
    ("/", "system"),
    ("/metadata", "metadata"),
    ("/_history", "history-system"),
    ("/_search", "search-system"),
    ("/{type}", "type"),
    ("/{type}/_search", "search-type"),
    ("/{type}/_history", "history-type"),
    ("/{type}/{id}", "instance"),
    ("/{type}/{id}/_history", "history-instance"),
    ("/{type}/{id}/_history/{version}", "version"),
    ("/Patient/{id}/{type}", "compartment"),
    ("/Patient/{id}/{type}/_search", "search-compartment"),
)
_FHIR = ("application/fhir+json", "application/fhir+xml")
_ID = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}


def openapi(base: str, token_url: str, statement: Json, operations: Sequence[Json]) -> Json:
    """Return the OpenAPI document of one base."""
    paths = {path: _path(path, kind) for path, kind in _PATHS}
    paths |= {f"/{each['type']}": {"get": _search(each)} for each in statement["rest"][0]["resource"]}
    paths |= _operation_paths(operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": statement["title"], "version": SOFTWARE["version"], "description": statement["description"]},
        "servers": [{"url": base}],
        "security": [{"smart": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"smart": _security(token_url)},
            "parameters": {
                "type": _parameter("type", "path", {"type": "string", "enum": list(R4.types)}),
                "id": _parameter("id", "path", _ID),
                "version": _parameter("version", "path", _ID),
            },
            "schemas": {"Resource": {"type": "object", "required": ["resourceType"]}},
        },
    }


def _security(token_url: str) -> Json:
    flow = {"tokenUrl": token_url, "scopes": {"system/*.cruds": "Every interaction on every type."}}
    return {"type": "oauth2", "flows": {"clientCredentials": flow}}


def _parameter(name: str, place: str, schema: Json) -> Json:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _path(path: str, kind: Kind) -> Json:
    methods = ["GET"] if kind == "metadata" else sorted(HANDLERS[kind])
    item: Json = {method.lower(): _operation(method, kind) for method in methods}
    names = [name for name in ("type", "id", "version") if f"{{{name}}}" in path]
    if names:
        item["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    if kind == "metadata":
        item["get"]["security"] = []
    return item


def _operation(method: str, kind: Kind) -> Json:
    out: Json = {
        "summary": interaction_of(method, kind),
        "operationId": f"{interaction_of(method, kind)}-{kind}-{method.lower()}",
        "responses": _responses(),
    }
    if method == "PATCH":
        content = {
            media: {"schema": {"type": "array"} if media == JSON_PATCH else _resource()} for media in PATCH_FORMATS
        }
        out["requestBody"] = {"required": True, "content": content}
    if method in ("POST", "PUT"):
        form = {"application/x-www-form-urlencoded": {"schema": _resource()}}
        content = form if kind in ("search-type", "search-compartment") else _content()
        out["requestBody"] = {"required": True, "content": content}
    return out


def _responses() -> Json:
    content = _content()
    return {
        "2XX": {"description": "Done.", "content": content},
        "4XX": {"description": "Refused; the OperationOutcome says why.", "content": content},
    }


def _content() -> Json:
    return {media: {"schema": _resource()} for media in _FHIR}


def _resource() -> Json:
    return {"$ref": "#/components/schemas/Resource"}


def _search(resource: Json) -> Json:
    parameters = [_query(each["name"], each["type"]) for each in resource["searchParam"]]
    return {
        "summary": f"Search {resource['type']}",
        "operationId": f"search-{resource['type']}",
        "parameters": parameters,
        "responses": _responses(),
    }


def _query(name: str, kind: str) -> dict[str, Any]:
    return _parameter(name, "query", {"type": "string"}) | {"description": f"{kind} search parameter"}


def _operation_paths(operations: Sequence[Json]) -> dict[str, Json]:
    paths = {}
    for each in operations:
        for level, prefix in (("system", ""), ("type", "/{type}"), ("instance", "/{type}/{id}")):
            if each[level]:
                paths[f"{prefix}/${each['code']}"] = _operation_path(each, level)
    return paths


def _operation_path(definition: Json, level: str) -> Json:
    names = {"system": (), "type": ("type",), "instance": ("type", "id")}[level]
    content = _content()
    if any(each.get("type") == "Binary" and each["use"] == "in" for each in definition.get("parameter", ())):
        content["*/*"] = {"schema": {"type": "string", "format": "binary"}}
    out: Json = {
        "post": {
            "summary": definition["name"],
            "operationId": f"{definition['code']}-{level}",
            "requestBody": {"content": content},
            "responses": _responses(),
        }
    }
    if names:
        out["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    return out
