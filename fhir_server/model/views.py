"""Parts of a resource: `_summary` and `_elements` (R4 `search.html#summary`), from the flags of the element table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

from fhir_server.errors import BadSearch
from fhir_server.kit import json
from profiles.registry import R4

Summary = Literal["true", "text", "data", "count", "false"]

_SUMMARIES = ("true", "text", "data", "count", "false")
_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_ALWAYS = frozenset({"resourceType", "id", "meta", "implicitRules"})


@dataclass(frozen=True, slots=True)
class View:
    """Which part is wanted; `elements` are names at the top of the resource."""

    summary: Summary | None = None
    elements: frozenset[str] = frozenset()


def parse_view(params: list[tuple[str, str]]) -> View | None:
    """Read `_summary` and `_elements`; None when whole resources are wanted."""
    summary: str | None = None
    elements: set[str] = set()
    for name, value in params:
        if name == "_summary":
            if value not in _SUMMARIES:
                raise BadSearch(f"_summary is one of {', '.join(_SUMMARIES)}.", "search-summary", "_summary")
            summary = value
        elif name == "_elements":
            elements.update(part.strip() for part in value.split(",") if part.strip())
    if summary in (None, "false", "count") and not elements:
        return None
    return View(cast("Summary | None", summary), frozenset(elements))


def apply(body: bytes, view: View | None) -> bytes:
    """Return the JSON of the part that `view` wants; the bytes themselves without one."""
    if view is None:
        return body
    resource = json.decode_trusted(body)
    return json.encode(mark_subsetted(_cut(resource, view)))


def _cut(resource: dict[str, Any], view: View) -> dict[str, Any]:
    type_ = resource["resourceType"]
    if view.elements:
        names = frozenset(name.rsplit(".", 1)[-1] if name.startswith(f"{type_}.") else name for name in view.elements)
        return _keep(resource, _top(type_, names))
    if view.summary == "data":
        return {name: value for name, value in resource.items() if name not in ("text", "_text")}
    if view.summary == "text":
        return _keep(resource, _top(type_, frozenset({"text"})))
    return _summarise(resource, type_)


@cache
def _required(type_: str) -> frozenset[str]:
    return frozenset(child.name for child in R4.json_children(type_).values() if child.element.min > 0)


def _top(type_: str, wanted: frozenset[str]) -> frozenset[str]:
    choices = {
        child.name for child in R4.json_children(type_).values() if child.element.name.removesuffix("[x]") in wanted
    }
    return _ALWAYS | _required(type_) | wanted | choices


def _keep(resource: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name.removeprefix("_") in names}


@cache
def _in_summary(path: str) -> dict[str, str]:
    """JSON property -> the path below it ("" when it is a data type, kept whole), for what the summary shows at `path`."""
    return {
        child.name: child.path_of_type if "." in child.path_of_type else ""
        for child in R4.json_children(path).values()
        if child.element.summary
    }


def _summarise(node: dict[str, Any], path: str) -> dict[str, Any]:
    shown = _in_summary(path)
    out: dict[str, Any] = {}
    for name, value in node.items():
        if name in _ALWAYS:
            out[name] = value
        elif (below := shown.get(name.removeprefix("_"))) is not None:
            out[name] = _below(value, below) if below else value
    return out


def _below(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_summarise(item, path) for item in value]
    return _summarise(value, path) if isinstance(value, dict) else value


def mark_subsetted(resource: dict[str, Any]) -> dict[str, Any]:
    """Add the tag that says: do not write this back, it is not the whole."""
    meta = resource.get("meta", {})
    return resource | {"meta": meta | {"tag": [*meta.get("tag", []), _SUBSETTED]}}
