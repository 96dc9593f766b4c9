"""PURE: from a transaction's entries to a plan: order, identities, what a fullUrl stands for (`http.html#trules`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from fhir_server.errors import BadRequest, FhirError, Issue
from fhir_server.interactions.address import (
    Address,
    Params,
    parse_address,
    parse_criteria,
    parse_query,
    split_url,
    stray,
)
from fhir_server.interactions.call import Json
from fhir_server.interactions.conditions import NO_CONDITIONS, Conditions, entry_conditions, stray_condition
from fhir_server.kit.ids import new_id
from fhir_server.model.patch.document import Patch
from fhir_server.model.references import Conditional, Found, parse_reference

ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
"""The order in which a transaction is processed, whatever the order of its entries."""

_ALLOWED = {
    "DELETE": ("instance", "type"),
    "POST": ("type",),
    "PUT": ("instance", "type"),
    "PATCH": ("instance", "type"),
    "GET": ("instance", "type", "version", "history-instance", "history-type", "compartment", "operation", "metadata"),
}


@dataclass(slots=True)
class Entry:
    """One entry as it was posted; `resource` is decoded, `raw` its bytes."""

    position: int
    method: str
    address: Address
    params: Params = field(default_factory=list)
    conditions: Conditions = NO_CONDITIONS
    full_url: str | None = None
    resource: Json | None = None
    raw: bytes = b""
    patch: Patch | None = None
    """What PATCH does; `resource` is then what it makes of what is stored."""
    references: Sequence[Found] = ()
    """What `find_references` finds in the resource."""
    id: str = ""
    """The id that the resource has, or would have if it is created."""

    @property
    def where(self) -> str:
        """Return the FHIRPath expression of the entry."""
        return f"Bundle.entry[{self.position}]"

    @property
    def conditional(self) -> bool:
        """Tell whether its target is found by search."""
        if self.method == "POST":
            return self.conditions.if_none_exist is not None
        return self.method in ("PUT", "DELETE", "PATCH") and self.address.kind == "type"

    def criteria(self) -> Params:
        """Return the search that finds its target."""
        if self.method == "POST" and self.conditions.if_none_exist is not None:
            return parse_criteria(self.conditions.if_none_exist, self.address.type or "")
        return self.params


@dataclass(slots=True)
class Plan:
    """A transaction that makes sense by itself; what needs the database comes after."""

    entries: list[Entry]
    ordered: list[Entry]


def read_request(position: int, full_url: str | None, request: Json | None, base: str) -> Entry:
    """Make an Entry of `Bundle.entry[position]`, its resource aside; BadRequest when the request makes no sense."""
    where = f"Bundle.entry[{position}]"
    if not request or not isinstance(request.get("method"), str) or not isinstance(request.get("url"), str):
        raise BadRequest(
            "Every entry needs request.method and request.url.", "entry-request", f"{where}.request", code="required"
        )
    try:
        path, query = split_url(request["url"], base)
        address, params, conditions = parse_address(path), parse_query(query), entry_conditions(request)
    except FhirError as error:
        raise BadRequest(error.text, error.id, f"{where}.request") from error
    if request["method"] not in ORDER:
        raise BadRequest(
            "request.method is one of GET, HEAD, POST, PUT, PATCH, DELETE.", "entry-method", f"{where}.request.method"
        )
    return Entry(position, request["method"], address, params, conditions, full_url)


def check_entry(entry: Entry) -> list[Issue]:
    """Return what is wrong with one entry of a transaction."""
    method = "GET" if entry.method == "HEAD" else entry.method
    if entry.address.kind not in _ALLOWED.get(method, ()):
        text = f"{entry.method} is not possible at this url inside a transaction."
        return [Issue("not-supported", "entry-method", text, f"{entry.where}.request")]
    error = stray(entry.params) if method == "POST" or (entry.address.kind == "instance" and method != "GET") else None
    if error is not None:
        return [issue.within(f"{entry.where}.request.url") for issue in error.issues]
    error = stray_condition(entry.conditions, method) if method != "GET" else None
    if error is not None:
        return [issue.within(f"{entry.where}.request") for issue in error.issues]
    if method in ("POST", "PUT", "PATCH"):
        return _check_written(entry)
    if entry.raw:
        return [Issue("invalid", "entry-resource", f"{entry.method} takes no resource.", f"{entry.where}.resource")]
    return _check_criteria(entry)


def _check_written(entry: Entry) -> list[Issue]:
    if not entry.raw:
        return [Issue("required", "entry-resource", f"{entry.method} needs a resource.", f"{entry.where}.resource")]
    if entry.method == "PATCH":
        return _check_criteria(entry)
    if entry.resource is None:
        return []  # its own issues are listed already
    if entry.resource["resourceType"] != entry.address.type:
        text = f"The url is of {entry.address.type}, the resource another type."
        return [Issue("invalid", "type-mismatch", text, f"{entry.where}.resource")]
    if entry.method == "PUT" and entry.address.kind == "instance" and entry.resource.get("id") != entry.address.id:
        text = "The id in the resource and the id in the url must be the same."
        return [Issue("invalid", "id-mismatch", text, f"{entry.where}.resource.id")]
    return _check_criteria(entry)


def _check_criteria(entry: Entry) -> list[Issue]:
    if entry.conditional and not entry.criteria():
        text = "Conditional criteria must not be empty: they would match everything."
        return [Issue("invalid", "criteria-empty", text, f"{entry.where}.request")]
    return []


def make_plan(entries: Sequence[Entry]) -> Plan:
    """Check the entries against each other, order them and give ids; BadRequest lists every issue."""
    issues = [issue for entry in entries for issue in check_entry(entry)]
    issues += _overlaps(entries) + _repeated_urls(entries)
    if issues:
        raise BadRequest(issues[0].text, issues[0].id, issues=issues)
    ordered = sorted(entries, key=lambda entry: ORDER[entry.method])
    return Plan(list(entries), ordered)


def choose_id(entry: Entry) -> str:
    """Return the id that the entry's resource has, or would have if it is created."""
    if entry.method == "PUT":
        assert entry.resource is not None
        return entry.address.id or entry.resource.get("id") or new_id()
    return new_id()


def overlap(entry: Entry) -> Issue:
    """Return the issue for an entry whose resource another entry of the transaction changes too."""
    text = "Two entries of a transaction must not change the same resource."
    return Issue("duplicate", "entry-overlap", text, f"{entry.where}.request.url")


def _overlaps(entries: Iterable[Entry]) -> list[Issue]:
    seen: set[tuple[str | None, str | None]] = set()
    issues = []
    for entry in entries:
        if entry.method in ("PUT", "DELETE", "PATCH") and entry.address.kind == "instance":
            name = (entry.address.type, entry.address.id)
            if name in seen:
                issues.append(overlap(entry))
            seen.add(name)
    return issues


def _repeated_urls(entries: Iterable[Entry]) -> list[Issue]:
    seen: set[str] = set()
    issues = []
    for entry in entries:
        if entry.full_url and entry.method in ("POST", "PUT", "PATCH"):
            if entry.full_url in seen:
                text = "Two entries have the same fullUrl; references to it would be ambiguous."
                issues.append(Issue("duplicate", "entry-full-url", text, f"{entry.where}.fullUrl"))
            seen.add(entry.full_url)
    return issues


def reference_map(plan: Plan, targets: dict[int, tuple[str, str]]) -> dict[str, str]:
    """Return what to write instead of each fullUrl (and its relative form), given where each entry ends up."""
    mapping: dict[str, str] = {}
    for entry in plan.entries:
        if entry.full_url and entry.position in targets:
            name = "/".join(targets[entry.position])
            mapping[entry.full_url] = name
            relative = "/".join(entry.full_url.rsplit("/", 2)[1:])
            if "://" in entry.full_url and relative.startswith(f"{entry.address.type}/") and relative != name:
                mapping.setdefault(relative, name)
    return mapping


def conditional_references(entries: Iterable[Entry], base: str) -> dict[str, list[str]]:
    """Return every `Type?criteria` that the resources refer to, with the entries where it stands."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for holder, _ in entry.references:
            text = holder["reference"]
            if "?" in text and (text in found or isinstance(parse_reference(text, base), Conditional)):
                found.setdefault(text, []).append(entry.where)
    return found


def normalised(params: Params) -> str:
    """Return criteria in one form, whatever the order they were written in."""
    return urlencode(sorted(params))
