"""The one door to a resource from outside: bytes in, a checked dict out, or everything that is wrong with it.

The order of checks: JSON (400), shape by the structs of `model.shape`, and for what they do not vouch for the slow
walk of `explain`. Structure and grammar are 400 (not FHIR), cardinality, codes and targets alone are 422.
FHIRPath invariants and profiles come after the shape, where a profile is asked for (`profiled.py`).
"""

from __future__ import annotations

from typing import Any

from fhir_server.errors import BadRequest, FhirError, Issue, Unprocessable
from fhir_server.kit import json
from fhir_server.model.fhirpath.narrative import is_harmless
from fhir_server.model.shape import certainly_valid
from fhir_server.model.walk import RESOURCE, holders, resources, walk
from fhir_server.validation.explain import explain
from profiles.registry import R4

_NARRATIVE = b'"div":'


def parse_resource(data: bytes, *, expect: str | None = None) -> dict[str, Any]:
    """Decode and check a resource; `expect` is the type that the URL names.

    Raises BadRequest or Unprocessable with all issues. Entries of a Bundle can be handed over one by one
    (`kit.json.members`, `kit.json.items`), so that a large one never holds up other requests.
    """
    value, text = json.decode_compact(data)
    if not isinstance(value, dict):
        raise BadRequest("Expected a resource: a JSON object with a 'resourceType'.", "shape-resource-type")
    issues = _issues(value, text)
    if issues:
        raise refusal(issues)
    if expect is not None and value["resourceType"] != expect:
        raise BadRequest(f"Expected a resource of type {expect}.", "shape-type-mismatch", value["resourceType"])
    return value


def validate(resource: dict[str, Any]) -> list[Issue]:
    """Return everything that is wrong with the shape of a resource that is already a dict."""
    try:
        text = json.encode(resource)
        json.guard(text)
    except RecursionError:
        return [json.too_deep().issues[0]]
    except BadRequest as error:
        return error.issues
    return _issues(resource, text)


def _issues(resource: dict[str, Any], text: bytes) -> list[Issue]:
    """Return the issues of a resource whose compact JSON is `text`."""
    type_ = resource.get("resourceType")
    if not (R4.is_type(type_) and certainly_valid(text, type_) and _nested_certainly_valid(resource, type_)):
        return explain(resource)
    return explain(resource) if _NARRATIVE in text and not _harmless(resource) else []


def _harmless(resource: dict[str, Any]) -> bool:
    """Return whether all narratives of a valid resource are."""
    divs = (node.value["div"] for node in walk(resource) if node.path == "Narrative" and "div" in node.value)
    return all(map(is_harmless, divs))


def _nested_certainly_valid(resource: dict[str, Any], type_: str) -> bool:
    """Return whether all resources inside of a resource are surely valid."""
    if resource.keys().isdisjoint(holders(type_)):
        return True
    nested = (node for node in resources(resource) if node.child is not None)
    return all(node.path != RESOURCE and certainly_valid(json.encode(node.value), node.path) for node in nested)


def refusal(issues: list[Issue]) -> FhirError:
    """Return the error that lists the issues: 400 when it is not FHIR, 422 when only the content is against a rule."""
    first = issues[0]
    kind = BadRequest if any(issue.code in ("structure", "value", "invalid") for issue in issues) else Unprocessable
    more = f" And {len(issues) - 1} more." if len(issues) > 1 else ""
    return kind(first.text + more, first.id, first.expression, issues)
