"""One resource: what its summary says, its narrative, and all of it as JSON that folds."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.http.browse import narrative, shell
from fhir_server.http.browse.columns import columns, label
from fhir_server.http.browse.markup import EMPTY, Html, el, join
from fhir_server.http.browse.tree import tree
from fhir_server.http.browse.visit import Visit
from fhir_server.interactions.address import Address
from fhir_server.operations.registry import OPERATIONS
from profiles.registry import R4

Json = dict[str, Any]
_COMPARTMENTS: Final = ("Patient",)
"""Compartments that are searched here, as the CapabilityStatement says."""


def page(visit: Visit, resource: Json) -> bytes:
    """Return the page of a resource, as it was read or as an operation answered."""
    type_, id_ = str(resource.get("resourceType", "")), str(resource.get("id", ""))
    title = f"{type_} {id_}".strip()
    return shell.page(
        visit,
        title,
        el("h1", label(visit, resource) or title),
        el("p", _about(type_, id_, resource.get("meta", {})), class_="sub"),
        _ways(visit, type_, id_),
        _facts(visit, type_, resource),
        _narrative(visit, resource),
        el("h2", "Content"),
        el("div", _fold("Open all", "open"), _fold("Close all", "close"), class_="row"),
        tree(visit, resource),
    )


def _about(type_: str, id_: str, meta: Json) -> str:
    parts = [f"{type_} {id_}".strip()]
    if "versionId" in meta:
        parts.append(f"version {meta['versionId']}")
    if "lastUpdated" in meta:
        parts.append(f"of {meta['lastUpdated']}")
    return " · ".join(parts)


def _ways(visit: Visit, type_: str, id_: str) -> Html:
    """Return where one can go from a stored resource, and the same in other forms."""
    if visit.interaction not in ("read", "vread") or not id_:
        return shell.other_forms(visit)
    instance = f"{type_}/{id_}"
    links = [el("a", "History", href=visit.to(f"{instance}/_history"), class_="button")]
    for operation in OPERATIONS:
        code = operation.definition["code"]
        if (
            not operation.changes
            and operation.serves(Address("operation", type_, id_, operation=code))
            and _free(operation.definition)
        ):
            links.append(el("a", f"${code}", href=visit.to(f"{instance}/${code}"), class_="button"))
    return join(el("div", *links, class_="row"), _compartment(visit, type_, instance), shell.other_forms(visit))


def _free(definition: Json) -> bool:
    """Tell whether an operation can be called without parameters by GET."""
    given = [each for each in definition.get("parameter", []) if each["use"] == "in"]
    return definition["code"] != "validate" and not any(each["min"] for each in given)


def _compartment(visit: Visit, type_: str, instance: str) -> Html:
    """Return the searches in a patient's compartment, one for each type that can be in it."""
    if type_ not in _COMPARTMENTS:
        return EMPTY
    members = [member for member in R4.types if R4.compartment(type_, member)]
    links = [[el("a", member, href=visit.to(f"{instance}/{member}")), " "] for member in members]
    return el(
        "details", el("summary", f"Everything that is about this {type_}, by type"), el("p", *links), class_="box"
    )


def _facts(visit: Visit, type_: str, resource: Json) -> Html:
    if not R4.is_type(type_):
        return EMPTY
    found = [column for column in columns(type_) if column.within(resource)]
    rows = [[el("dt", column.title), el("dd", column.cell(visit, resource))] for column in found]
    return join(el("h2", "In short"), el("dl", *rows)) if rows else EMPTY


def _narrative(visit: Visit, resource: Json) -> Html:
    text = resource.get("text")
    made = narrative.shown(visit, text.get("div")) if isinstance(text, dict) else None
    return join(el("h2", "Narrative"), made) if made else EMPTY


def _fold(words: str, way: str) -> Html:
    return el("button", words, type="button", data_fold=way, hidden=True)
