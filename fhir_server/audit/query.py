"""The search parameters of AuditEvent as conditions on the audit table: one function for each, in one table.

a  the audit row          p  one of its patients, or none          agents are looked up by what they are
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.audit.codes import KINDS, OUTCOMES, Coding, Kind
from fhir_server.audit.names import mark, row_key
from fhir_server.errors import BadSearch, Issue
from fhir_server.model.references import Local, parse_reference
from fhir_server.search.escape import split, unescape
from fhir_server.search.kinds import date
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Grant, Visibility

NEVER: Final = "FALSE"


@dataclass(slots=True)
class Conditions:
    """The WHERE clause while it is put together."""

    tenant: Tenant
    args: list[Any] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    applied: list[tuple[str, str]] = field(default_factory=list)

    def arg(self, value: Any) -> str:
        """Add a value; return its placeholder."""
        self.args.append(value)
        return f"${len(self.args)}"

    @property
    def where(self) -> str:
        """The conditions, all of them."""
        return " AND ".join(self.parts) or "TRUE"


# ---- one value of each parameter, as SQL ----

_DATE: Final = {
    "eq": "(a.recorded >= {lo} AND a.recorded < {hi})",
    "ap": "(a.recorded >= {lo} AND a.recorded < {hi})",
    "ne": "(a.recorded < {lo} OR a.recorded >= {hi})",
    "gt": "a.recorded >= {hi}",
    "sa": "a.recorded >= {hi}",
    "ge": "a.recorded >= {lo}",
    "lt": "a.recorded < {lo}",
    "eb": "a.recorded < {lo}",
    "le": "a.recorded < {hi}",
}


async def _date(to: Conditions, value: str) -> str:
    parsed = date.parse(value)
    text = _DATE[parsed.prefix]
    ends = {"lo": parsed.lo, "hi": parsed.hi}
    # An argument that no condition uses would be refused by PostgreSQL.
    return text.format(**{end: f"{to.arg(at)}::timestamptz" for end, at in ends.items() if f"{{{end}}}" in text})


async def _id(to: Conditions, value: str) -> str:
    key = row_key(to.tenant, value)
    if key is None:
        return NEVER
    row = f"a.recorded = {to.arg(key.recorded)}::timestamptz AND a.id = {to.arg(key.id)}::bigint"
    if key.mark is None:
        return f"({row} AND coalesce(cardinality(a.patients), 0) < 2)"
    patients = await to.tenant.pool.fetchval(
        to.tenant.sql("SELECT patients FROM {s}.audit WHERE recorded = $1 AND id = $2"), key.recorded, key.id
    )
    meant = [patient for patient in patients or () if mark(to.tenant, patient) == key.mark]
    return f"({row} AND cardinality(a.patients) > 1 AND p.patient = ANY({to.arg(meant)}::bigint[]))"


async def _rid(to: Conditions, value: str, default: str | None) -> int | None:
    text = unescape(value)
    reference = parse_reference(text if "/" in text or default is None else f"{default}/{text}", to.tenant.base)
    if not isinstance(reference, Local):
        raise ValueError("is no reference to a resource of this server: write Type/id")
    if default is not None and reference.type != default:
        return None
    return await known_rid(to.tenant, reference.type, reference.id)


async def _patient(to: Conditions, value: str) -> str:
    rid = await _rid(to, value, "Patient")
    if rid is None:
        return NEVER
    place = to.arg(rid)
    return f"(a.patients @> ARRAY[{place}::bigint] AND p.patient = {place}::bigint)"


async def _entity(to: Conditions, value: str) -> str:
    rid = await _rid(to, value, None)
    return NEVER if rid is None else f"a.rid = {to.arg(rid)}::bigint"


def _agents(condition: str) -> str:
    return f"a.agent IN (SELECT id FROM {{s}}.agent WHERE {condition})"


async def _agent(to: Conditions, value: str) -> str:
    """A person by reference, a client by its id."""
    text = unescape(value).removeprefix(to.tenant.base + "/")
    place = to.arg(text)
    return _agents(f"person = {place}::text" if "/" in text else f"client_id = {place}::text")


async def _agent_identifier(to: Conditions, value: str) -> str:
    """A client by its id, or a person who has no resource by the id of the account; nothing else in `person` is without a slash."""
    place = to.arg(unescape(split(value, "|")[-1]))
    return _agents(f"(client_id = {place}::text OR person = {place}::text)")


def _prefix(to: Conditions, column: str, value: str) -> str:
    """Return the test of R4's string search: starts with, without regard to case; `%` and `_` are themselves."""
    return f"starts_with(lower({column}), lower({to.arg(unescape(value))}::text))"


async def _agent_name(to: Conditions, value: str) -> str:
    return _agents(_prefix(to, "client_id", value))


async def _address(to: Conditions, value: str) -> str:
    return f"coalesce({_prefix(to, 'a.address', value)}, FALSE)"


def _coded(value: str, coding: Coding) -> bool:
    """Tell whether a token `code`, `system|code` or `system|` means the coding."""
    system, bar, code = unescape(value).rpartition("|")
    return (not bar or system == coding[0]) and (code == coding[1] or (bool(bar) and not code))


def _interactions(to: Conditions, kinds: Sequence[Kind]) -> str:
    return f"a.interaction = ANY({to.arg([kind.number for kind in kinds])}::smallint[])"


async def _type(to: Conditions, value: str) -> str:
    return _interactions(to, [kind for kind in KINDS if _coded(value, kind.type)])


async def _subtype(to: Conditions, value: str) -> str:
    return _interactions(to, [kind for kind in KINDS if _coded(value, kind.code)])


async def _action(to: Conditions, value: str) -> str:
    system = "http://hl7.org/fhir/audit-event-action"
    return _interactions(to, [kind for kind in KINDS if _coded(value, (system, kind.action, ""))])


async def _outcome(to: Conditions, value: str) -> str:
    system = "http://hl7.org/fhir/audit-event-outcome"
    ranges = [
        f"a.status BETWEEN {to.arg(lo)}::int AND {to.arg(hi)}::int"
        for code, (lo, hi) in OUTCOMES.items()
        if _coded(value, (system, code, ""))
    ]
    return "(" + " OR ".join(ranges) + ")" if ranges else NEVER


_ROLES: Final = {
    "1": "p.patient IS NOT NULL",
    "4": "(a.rid IS NOT NULL OR a.type IS NOT NULL)",
    "24": "(a.detail IS NOT NULL AND a.interaction <> 16)",
}
_KINDS_OF_ENTITY: Final = {"1": "p.patient IS NOT NULL", "2": "(a.rid IS NOT NULL OR a.detail IS NOT NULL)"}


def _any_of(system: str, value: str, table: dict[str, str]) -> str:
    return " OR ".join(test for code, test in table.items() if _coded(value, (system, code, ""))) or NEVER


async def _entity_role(_: Conditions, value: str) -> str:
    return _any_of("http://terminology.hl7.org/CodeSystem/object-role", value, _ROLES)


async def _entity_type(_: Conditions, value: str) -> str:
    return _any_of("http://terminology.hl7.org/CodeSystem/audit-entity-type", value, _KINDS_OF_ENTITY)


async def _site(to: Conditions, value: str) -> str:
    return "TRUE" if _coded(value.casefold(), ("", to.tenant.name, "")) else NEVER


async def _never(_: Conditions, __: str) -> str:
    """Answer for elements that no event of the trail has."""
    return NEVER


PARAMETERS: Final[dict[str, Callable[[Conditions, str], Awaitable[str]]]] = {
    "_id": _id,
    "_lastUpdated": _date,
    "_profile": _never,
    "_security": _never,
    "_source": _never,
    "_tag": _never,
    "action": _action,
    "address": _address,
    "agent": _agent,
    "agent:identifier": _agent_identifier,
    "agent-name": _agent_name,
    "agent-role": _never,
    "altid": _never,
    "date": _date,
    "entity": _entity,
    "entity-name": _never,
    "entity-role": _entity_role,
    "entity-type": _entity_type,
    "outcome": _outcome,
    "patient": _patient,
    "policy": _never,
    "site": _site,
    "source": _never,
    "subtype": _subtype,
    "type": _type,
}


async def add_parameter(to: Conditions, name: str, value: str) -> None:
    """Add one `name=value`: commas are OR, every further parameter AND. BadSearch says what is wrong with the value."""
    try:
        alternatives = [await PARAMETERS[name](to, each) for each in split(value, ",")]
    except ValueError as error:
        raise BadSearch(f"The value of {name} {error}.", "search-value", name) from error
    to.parts.append("(" + " OR ".join(alternatives) + ")")
    to.applied.append((name, value))


# ---- what the caller may see ----


def _grant(to: Conditions, grant: Grant) -> str:
    """Return a grant as a condition: all the keys that an audit row has are the compartments of its patients."""
    wanted = [key for key in grant.all_of if pack(COMPARTMENT, 0) < key < pack(1, 0)]
    if len(wanted) < len(grant.all_of) or grant.rids or grant.unless:
        return NEVER
    parts = []
    if wanted:
        place = to.arg(wanted)
        parts.append(f"a.patients @> {place}::bigint[] AND p.patient = ANY({place}::bigint[])")
    if hidden := [key for key in grant.none_of if pack(COMPARTMENT, 0) < key < pack(1, 0)]:
        parts.append(f"NOT coalesce(a.patients, '{{}}') && {to.arg(hidden)}::bigint[]")
    for group in grant.any_of:
        place = to.arg([key for key in group if pack(COMPARTMENT, 0) < key < pack(1, 0)])
        parts.append(f"a.patients && {place}::bigint[] AND p.patient = ANY({place}::bigint[])")
    return "(" + " AND ".join(parts) + ")" if parts else "TRUE"


def add_visibility(to: Conditions, visibility: Visibility) -> None:
    """Narrow to what the caller may see; no grant sees nothing."""
    to.parts.append("(" + (" OR ".join(_grant(to, grant) for grant in visibility) or NEVER) + ")")
