"""A topic: which changes of which types it is about, and by what it can be filtered (R5 `subscriptiontopic.html`).

It is read from the JSON of an R5 SubscriptionTopic, whether it came with the server (`shipped.json`) or as a Basic (`basic.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from fhir_server.errors import BadSearch
from fhir_server.model.fhirpath.compiled import Compiled, compile_path
from fhir_server.model.fhirpath.errors import FhirPathError
from fhir_server.search.parse import parse_query
from fhir_server.search.query import Clause
from fhir_server.storage.own import FIRST
from fhir_server.subscriptions.criteria import RESULT_PARAMETERS
from fhir_server.subscriptions.refusal import Refusal
from profiles.registry import R4

INTERACTIONS: Final = frozenset({"create", "update", "delete"})
_UNSERVED: Final = ("eventTrigger", "derivedFrom")
_MOST_TRIGGERS: Final = 20

Params = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A test of a version before or after the change; `alone` is its result where there is no such version."""

    params: Params
    alone: bool


@dataclass(frozen=True, slots=True)
class Trigger:
    """One resourceTrigger: the type, the interactions, and what must hold before and after."""

    type: str
    interactions: frozenset[str]
    previous: Query | None
    current: Query | None
    both: bool
    path: Compiled | None


@dataclass(frozen=True, slots=True)
class Filter:
    """One canFilterBy: a search parameter of a type ("" for every type that has it), with the modifiers and prefixes allowed."""

    type: str
    parameter: str
    modifiers: frozenset[str] | None
    comparators: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that can be subscribed to; `at` is (rid, version) of the Basic that holds it, (0, 0) of a shipped one."""

    url: str
    title: str
    triggers: tuple[Trigger, ...]
    filters: tuple[Filter, ...]
    at: tuple[int, int] = (0, 0)

    @property
    def types(self) -> tuple[str, ...]:
        """The types whose changes it is about."""
        return tuple(dict.fromkeys(trigger.type for trigger in self.triggers))


def read(resource: dict[str, Any], base: str, at: tuple[int, int] = (0, 0)) -> Topic:
    """Return the topic of an R5 SubscriptionTopic; Refusal says what of it is not understood or not served."""
    if not isinstance(resource.get("url"), str) or ":" not in resource["url"]:
        raise Refusal("topic-url", "A topic needs a url: the canonical that Subscription.criteria names.")
    if any(resource.get(name) for name in _UNSERVED):
        raise Refusal("topic-not-supported", "Topics are served by their resourceTrigger alone, not by eventTrigger.")
    if any(shape.get("include") or shape.get("revInclude") for shape in resource.get("notificationShape", ())):
        raise Refusal("topic-not-supported", "notificationShape.include is not served: the focus is what is told.")
    triggers = tuple(_trigger(each, base) for each in resource.get("resourceTrigger", ()))
    if not 0 < len(triggers) <= _MOST_TRIGGERS:
        raise Refusal("topic-trigger", f"A topic needs one to {_MOST_TRIGGERS} resourceTrigger.")
    types = {trigger.type for trigger in triggers}
    filters = tuple(_filter(each, types) for each in resource.get("canFilterBy", ()))
    return Topic(resource["url"], resource.get("title", resource["url"]), triggers, filters, at)


def type_name(text: Any) -> str:
    """Return the type that a topic names by its name or the URL of its definition."""
    name = str(text or "").removeprefix("http://hl7.org/fhir/StructureDefinition/")
    if not R4.is_type(name):
        raise Refusal("topic-resource", "A topic names resource types of R4.")
    return name


def search(type_: str, params: Params, base: str) -> None:
    """Refuse a search that cannot be asked of one version by itself."""
    if any(name.split(":")[0] in RESULT_PARAMETERS for name, _ in params):
        raise Refusal(
            "filter-invalid", "A filter selects; parameters that say how a result is listed have no place in it."
        )
    try:
        query = parse_query(type_, params, lenient=False, base=base)
    except BadSearch as error:
        raise Refusal("filter-invalid", error.text) from error
    own = [each for each in query.where if not isinstance(each, Clause) or each.param.id >= FIRST]
    if own:
        raise Refusal("filter-not-supported", "Filters ask of the resource itself, by R4's own search parameters.")


def _trigger(given: dict[str, Any], base: str) -> Trigger:
    type_ = type_name(given.get("resource"))
    interactions = frozenset(given.get("supportedInteraction") or INTERACTIONS)
    if not interactions <= INTERACTIONS:
        raise Refusal("topic-interaction", "supportedInteraction is create, update or delete.")
    criteria = given.get("queryCriteria") or {}
    previous = _query(type_, criteria.get("previous"), criteria.get("resultForCreate"), base)
    current = _query(type_, criteria.get("current"), criteria.get("resultForDelete"), base)
    path = given.get("fhirPathCriteria")
    return Trigger(type_, interactions, previous, current, bool(criteria.get("requireBoth")), path and _path(path))


def _path(text: str) -> Compiled:
    try:
        return compile_path(text)
    except FhirPathError as error:
        raise Refusal("topic-fhirpath", f"fhirPathCriteria: {error.text}") from error


def _query(type_: str, text: str | None, alone: str | None, base: str) -> Query | None:
    if alone not in (None, "test-passes", "test-fails"):
        raise Refusal("topic-query", "resultForCreate and resultForDelete are test-passes or test-fails.")
    if text is None:
        return None
    params = parameters(text.removeprefix(f"{type_}?"))
    if not params:
        raise Refusal("topic-query", "queryCriteria has no search parameter.")
    search(type_, params, base)
    return Query(params, alone == "test-passes")


def parameters(text: str) -> Params:
    """Return the parameters of the text of a query."""
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=100))
    except ValueError as error:
        raise Refusal("filter-invalid", "A filter is parameter=value, joined by &.") from error


def _filter(given: dict[str, Any], types: set[str]) -> Filter:
    type_ = type_name(given["resource"]) if given.get("resource") else ""
    name = given.get("filterParameter", "")
    known = [each for each in types if (not type_ or each == type_) and name in R4.params(each)]
    if not known:
        raise Refusal("topic-filter", "canFilterBy names a search parameter that no type of the topic has.")
    modifiers, comparators = given.get("modifier"), given.get("comparator")
    return Filter(
        type_,
        name,
        frozenset(modifiers) if modifiers is not None else None,
        frozenset(comparators) if comparators is not None else None,
    )
