"""Search parameters that a tenant posts as SearchParameter resources: what each asks for, and why it cannot be served.

Only an `active` one is served; any other is kept like any resource. What cannot be served is refused when it is written, with every
reason. What says in `derivedFrom` (or by its own url) that it is a parameter of R4 is not served a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from fhir_server.errors import Issue, Unprocessable
from fhir_server.kit import logs, metrics
from fhir_server.model.fhirpath.check import check as check_path
from fhir_server.model.fhirpath.errors import FhirPathError
from fhir_server.model.fhirpath.extract import Extractor, Pairs, extractor
from fhir_server.model.fhirpath.plan import Raw
from fhir_server.search.expressions import normalise, split_outside, term
from fhir_server.storage.own import NewParam, OwnParams
from profiles.registry import R4

TYPE: Final = "SearchParameter"
MOST: Final = 50
"""Own parameters of one type: each costs every write of the type."""
_MOST_TEXT = 2_000
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9\-_]{0,63}")
_NUMBERS = frozenset({"integer", "positiveInt", "unsignedInt", "decimal"})
_TEXTS = frozenset({"string", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid"})
_GIVES: dict[str, frozenset[str]] = {
    "date": frozenset({"date", "dateTime", "instant", "Period", "Timing"}),
    "number": _NUMBERS | {"Range"},
    "quantity": frozenset({"Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "Money", "Range", "SampledData"}),
    "reference": frozenset({"Reference", "canonical", "uri", "url"}),
    "string": _TEXTS | {"HumanName", "Address"},
    "token": _TEXTS | _NUMBERS | {"boolean", "Coding", "CodeableConcept", "Identifier", "ContactPoint"},
    "uri": frozenset({"uri", "url", "canonical", "oid", "uuid"}),
}  # fmt: skip
"""Kind -> the FHIR types whose values it can search."""

_LOG = logs.logger("clarity.search")


def guarded(find: Extractor) -> Extractor:
    """Return an extractor that finds nothing where the expression fails on a resource: others must be able to write it."""

    def run(raw: Raw, resource: Raw | None = None) -> Pairs:
        try:
            return find(raw, resource)
        except FhirPathError as error:
            metrics.OWN_PARAMETERS_FAILED.labels(error.id).inc()
            return []

    return run


def _issue(code: str, id_: str, text: str, where: str) -> Issue:
    return Issue(code, id_, text, f"{TYPE}.{where}")


def _is_r4(resource: dict[str, Any], type_: str) -> bool:
    """Tell whether it says that it is the parameter which R4 has under its code."""
    known = R4.params(type_).get(resource["code"])
    return known is not None and known.url in (resource.get("derivedFrom", "").split("|")[0], resource.get("url"))


def _branches(expression: str, type_: str) -> str:
    """Return the branches of an expression that are of a type; one that begins with no type is of every type."""
    found = []
    for branch in split_outside(normalise(expression), "|"):
        head = branch.lstrip("(").split(".", 1)[0].split("[", 1)[0]
        if head == type_ or not R4.defines(head) or head in ("Resource", "DomainResource"):
            named = head in (type_, "Resource", "DomainResource") or branch.startswith(("(", "%"))
            found.append(branch if named else f"{type_}.{branch}")
    return " | ".join(found)


def _shape(resource: dict[str, Any]) -> Iterator[Issue]:
    """Yield what is wrong whatever the base."""
    code, kind, expression = resource["code"], resource["type"], resource.get("expression", "")
    if not _CODE.fullmatch(code):
        yield _issue(
            "value", "own-parameter-code", "code is a letter, then letters, digits, - or _, 64 at most.", "code"
        )
    if kind not in _GIVES:
        text = f"Parameters of type {kind} cannot be added; {', '.join(sorted(_GIVES))} can."
        yield _issue("not-supported", "own-parameter-type", text, "type")
    if not expression:
        yield _issue(
            "required", "own-parameter-expression", "An active SearchParameter needs an expression.", "expression"
        )
    elif len(expression) > _MOST_TEXT:
        yield _issue(
            "too-long", "own-parameter-expression", f"expression has {_MOST_TEXT} characters at most.", "expression"
        )
    for position, base in enumerate(resource["base"]):
        if not R4.is_type(base):
            text = "Name the resource types that it is for: an own parameter has no abstract base."
            yield _issue("not-supported", "own-parameter-base", text, f"base[{position}]")


def _path(resource: dict[str, Any], type_: str, expression: str) -> Iterator[Issue]:
    """Yield what is wrong with the expression for one base."""
    if not expression:
        text = f"No branch of the expression begins with {type_}."
        yield _issue("value", "own-parameter-expression", text, "expression")
        return
    issues = check_path(expression, type_)
    yield from (_issue("value", "own-parameter-expression", issue.text, "expression") for issue in issues)
    if issues:
        return
    try:
        extractor(expression, type_)
    except FhirPathError as error:
        yield _issue("value", "own-parameter-expression", error.text, "expression")
        return
    kind = resource["type"]
    for branch in split_outside(expression, "|"):
        types = term(branch, type_).types
        if types and not types & _GIVES[kind]:
            text = f"{branch[:100]} gives {', '.join(sorted(types))}, which a parameter of type {kind} cannot search."
            yield _issue("value", "own-parameter-type", text, "type")


def _taken(own: OwnParams, rid: int | None, type_: str, code: str) -> Iterator[Issue]:
    if code in R4.params(type_):
        text = (
            f"{type_} has a search parameter {code} in R4; choose another code, or say derivedFrom if it is the same."
        )
        yield _issue("duplicate", "own-parameter-taken", text, "code")
    others = [param for param in own.by_type.get(type_, ()) if param.rid != rid]
    if any(param.name == code for param in others):
        yield _issue("duplicate", "own-parameter-taken", f"Another SearchParameter adds {code} to {type_}.", "code")
    if len(others) >= MOST:
        text = f"{type_} has {MOST} own search parameters, and no more are possible."
        yield _issue("too-costly", "own-parameter-many", text, "base")


def _served(resource: dict[str, Any]) -> bool:
    return resource.get("status") == "active" and not all(_is_r4(resource, type_) for type_ in resource["base"])


def wanted(resource: dict[str, Any]) -> list[NewParam]:
    """Return what a SearchParameter asks for on each of its types; nothing when it is not active."""
    if not _served(resource):
        return []
    types = [type_ for type_ in dict.fromkeys(resource["base"]) if not _is_r4(resource, type_)]
    targets = tuple(resource.get("target", ()))
    return [
        NewParam(
            type_,
            resource["code"],
            resource["type"],
            _branches(resource["expression"], type_),
            targets,
            resource["url"],
        )
        for type_ in types
    ]


def check(own: OwnParams, rid: int | None, resource: dict[str, Any]) -> None:
    """Raise Unprocessable, with every reason, when an active SearchParameter cannot be served; `rid` is its own, if it has one."""
    if not _served(resource):
        return
    issues = list(_shape(resource))
    if not issues:
        for param in wanted(resource):
            issues += [*_taken(own, rid, param.type, param.name), *_path(resource, param.type, param.expression)]
    if issues:
        raise Unprocessable(issues[0].text, issues[0].id, issues=issues)
