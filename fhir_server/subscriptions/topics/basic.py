"""SubscriptionTopic in R4: a Basic with the extensions that R5's cross-version rules give it, and back.

Basic.code = http://hl7.org/fhir/fhir-types|SubscriptionTopic
Basic.extension[http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic.resourceTrigger].extension[resource] ...
"""

from __future__ import annotations

from typing import Any, Final

SYSTEM: Final = "http://hl7.org/fhir/fhir-types"
CODE: Final = "SubscriptionTopic"
_STEM: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."
_VALUES: Final = {
    "url": "Uri", "version": "String", "title": "String", "status": "Code", "description": "Markdown", "resource": "Uri",
    "supportedInteraction": "Code", "previous": "String", "resultForCreate": "Code", "current": "String",
    "resultForDelete": "Code", "requireBoth": "Boolean", "fhirPathCriteria": "String", "filterParameter": "String",
    "filterDefinition": "Uri", "comparator": "Code", "modifier": "Code", "include": "String", "revInclude": "String",
}  # fmt: skip
_REPEATED: Final = frozenset(
    {"resourceTrigger", "eventTrigger", "canFilterBy", "notificationShape", "supportedInteraction", "comparator", "modifier"}
    | {"include", "revInclude", "derivedFrom"}
)  # fmt: skip


def holds_topic(resource: dict[str, Any]) -> bool:
    """Tell whether a resource is a Basic that says it is a SubscriptionTopic."""
    codings = resource.get("code", {}).get("coding", ()) if resource.get("resourceType") == "Basic" else ()
    return any(each.get("system") == SYSTEM and each.get("code") == CODE for each in codings)


def to_topic(basic: dict[str, Any]) -> dict[str, Any]:
    """Return the R5 SubscriptionTopic that a Basic holds."""
    parts = [each | {"url": each["url"].removeprefix(_STEM)} for each in basic.get("extension", ()) if _ours(each)]
    return {"resourceType": CODE} | _elements(parts)


def _ours(extension: dict[str, Any]) -> bool:
    return str(extension.get("url", "")).startswith(_STEM)


def _elements(extensions: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in extensions:
        name = each["url"]
        inner = each.get("extension")
        value = _elements(inner) if inner else next((v for k, v in each.items() if k.startswith("value")), None)
        if name in _REPEATED:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def to_basic(topic: dict[str, Any], id_: str) -> dict[str, Any]:
    """Return the Basic of an R5 SubscriptionTopic."""
    return {
        "resourceType": "Basic",
        "id": id_,
        "extension": [each for name, value in topic.items() for each in _extensions(name, value, _STEM)],
        "code": {"coding": [{"system": SYSTEM, "code": CODE}]},
    }


def _extensions(name: str, value: Any, stem: str = "") -> list[dict[str, Any]]:
    if name in ("resourceType", "id"):
        return []
    if isinstance(value, list):
        return [each for item in value for each in _extensions(name, item, stem)]
    if isinstance(value, dict):
        return [{"url": stem + name, "extension": [e for n, v in value.items() for e in _extensions(n, v)]}]
    return [{"url": stem + name, f"value{_VALUES[name]}": value}]
