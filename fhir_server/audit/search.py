"""Reading the audit trail: AuditEvents rendered from its rows, newest first, page by page.

What clients post as AuditEvent are ordinary resources and are found by the ordinary search. The caller's Visibility narrows
here too: with a `patient/` scope a person sees who used that person's record, and nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fhir_server.audit.names import row_key
from fhir_server.audit.query import PARAMETERS, Conditions, add_parameter, add_visibility
from fhir_server.audit.record import SEAL
from fhir_server.audit.render import Json, Line, audit_event
from fhir_server.context import RequestContext
from fhir_server.errors import BadSearch, FhirError, Issue
from fhir_server.kit import base64url, json
from fhir_server.search.query import IGNORED
from fhir_server.storage import glass
from fhir_server.storage.commands import POST
from fhir_server.storage.ident import Name, names
from fhir_server.storage.keystore import InvalidSeal
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, kept_from
from profiles.registry import R4

Params = Sequence[tuple[str, str]]
Place = tuple[datetime, int, int]
"""Where a page ended: recorded, id, patient (0 for none)."""

_CONTROLS: Final = frozenset({"_count", "_sort", "_total", "_elements", "_summary"})
_SORTS: Final = frozenset({"-date", "-_lastUpdated"})

_FROM = """
FROM {s}.audit a LEFT JOIN {s}.agent g ON g.id = a.agent LEFT JOIN LATERAL unnest(a.patients) AS p(patient) ON true
"""
_COLUMNS = """
SELECT a.recorded, a.id, a.interaction, a.status, a.type, a.rid, a.version, a.request, a.address, a.detail, p.patient,
  coalesce(cardinality(a.patients), 0) > 1 AS several, g.client_id, g.person, a.agent
"""
_ORDER = " ORDER BY a.recorded DESC, a.id DESC, coalesce(p.patient, 0) DESC"


@dataclass(slots=True)
class AuditPage:
    """One page of AuditEvents; `next` is the `_cursor` of the page after it, None at the end."""

    rows: list[Stored]
    total: int | None = None
    next: str | None = None
    issues: list[Issue] = field(default_factory=list)
    applied: list[tuple[str, str]] = field(default_factory=list)


async def read(ctx: RequestContext, id_: str, visibility: Visibility) -> Stored | None:
    """Return the AuditEvent of an audit row; None when the id is of no row, or the caller may not see it."""
    if row_key(ctx.tenant, id_) is None:
        return None
    page = await search(ctx, [("_id", id_)], visibility=visibility, count=1)
    return page.rows[0] if page.rows else None


async def search(ctx: RequestContext, params: Params, *, visibility: Visibility, count: int) -> AuditPage:
    """Return a page of AuditEvents from the audit table; BadSearch for what cannot be searched by."""
    to = Conditions(ctx.tenant)
    add_visibility(to, visibility)
    for name, value in params:
        await _add(ctx, to, name, value)
    given = dict(params)
    page = AuditPage([], issues=to.issues, applied=to.applied)
    if given.get("_total") == "accurate" or given.get("_summary") == "count" or count == 0:
        page.total = await ctx.tenant.pool.fetchval(
            _sql(ctx.tenant, f"SELECT count(*) {_FROM} WHERE {to.where}"), *to.args
        )
    if count == 0 or given.get("_summary") == "count":
        return page
    if "_cursor" in given:
        _add_place(to, _opened(ctx, given["_cursor"]))
    found = await _fetch(ctx.tenant, to, count + 1)
    if len(found) > count:
        last = found[count - 1]
        page.next = _sealed(ctx, (last["recorded"], last["id"], last["patient"] or 0))
    page.rows = await _render(ctx.tenant, found[:count], whole=kept_from(visibility) is not None)
    return page


async def _add(ctx: RequestContext, to: Conditions, name: str, value: str) -> None:
    if name == "_cursor" or name in IGNORED:
        return
    if name in _CONTROLS:
        _check_control(name, value)
        to.applied.append((name, value))
    elif name in PARAMETERS:
        await add_parameter(to, name, value)
    else:
        known = ", ".join(sorted(PARAMETERS))
        text = f"The audit trail is searched by {known}; {name[:40]} is not one of these."
        if not ctx.lenient:
            raise BadSearch(text, "search-unknown-parameter", name[:40])
        to.issues.append(Issue("not-supported", "search-unknown-parameter", text, name[:40], "warning"))


def _check_control(name: str, value: str) -> None:
    if name == "_sort" and value not in _SORTS:
        raise BadSearch("The audit trail is sorted by -date (or -_lastUpdated) only.", "search-sort", "_sort")


def _sql(tenant: Tenant, text: str) -> str:
    """Return the statement for the tenant; not through `tenant.sql`, which keeps every text that it was ever given."""
    return text.replace("{s}", tenant.schema)


async def _fetch(tenant: Tenant, to: Conditions, limit: int) -> list[Any]:
    text = f"{_COLUMNS} {_FROM} WHERE {to.where} {_ORDER} LIMIT {to.arg(limit)}::int"
    rows: list[Any] = await tenant.pool.fetch(_sql(tenant, text), *to.args)
    return rows


# ---- pages ----


def _bound(ctx: RequestContext) -> bytes:
    """Return what a cursor is bound to: the client. What it may see is asked anew for every page."""
    return f"audit-page/{ctx.principal.client_id}".encode()


def _sealed(ctx: RequestContext, place: Place) -> str:
    recorded, row, patient = place
    data = json.encode([recorded.isoformat(), row, patient])
    return base64url.encode(ctx.tenant.keystore.seal(data, _bound(ctx)))


def _opened(ctx: RequestContext, cursor: str) -> Place:
    try:
        sealed = base64url.decode(cursor)
        recorded, row, patient = json.decode(ctx.tenant.keystore.open(sealed, _bound(ctx)))
    except (InvalidSeal, ValueError) as error:
        text = "This _cursor is not of this search; follow the next link of a page as it is."
        raise BadSearch(text, "cursor-invalid", "_cursor") from error
    return datetime.fromisoformat(recorded), row, patient


def _add_place(to: Conditions, place: Place) -> None:
    recorded, row, patient = (to.arg(each) for each in place)
    # The first condition alone tells PostgreSQL which months it may leave out.
    to.parts.append(
        f"a.recorded <= {recorded}::timestamptz AND (a.recorded, a.id, coalesce(p.patient, 0))"
        f" < ({recorded}::timestamptz, {row}::bigint, {patient}::bigint)"
    )


# ---- rows to AuditEvents ----


async def _render(tenant: Tenant, rows: Sequence[Any], *, whole: bool) -> list[Stored]:
    """Return the rows as stored AuditEvents; what may name others (the text of a query) only to who sees everything."""
    wanted = {row[column] for row in rows for column in ("rid", "patient") if row[column] is not None}
    known = await names(tenant, wanted) if wanted else {}
    opened = await glass.during(tenant, {row["agent"] for row in rows})
    return [_stored(tenant, _line(tenant, row, known, opened, whole=whole)) for row in rows]


def _emergency(row: Any, opened: Sequence[glass.Glass]) -> bool:
    return any(
        (each.agent, each.patient) == (row["agent"], row["patient"]) and each.began_at <= row["recorded"] < each.ends_at
        for each in opened
    )


def _line(tenant: Tenant, row: Any, known: dict[int, Name], opened: Sequence[glass.Glass], *, whole: bool) -> Line:
    patient = known.get(row["patient"])
    return Line(
        recorded=row["recorded"],
        id=row["id"],
        interaction=row["interaction"],
        status=row["status"],
        client_id=row["client_id"],
        person=row["person"],
        type=R4.type_name(row["type"]) if row["type"] else None,
        entity=known.get(row["rid"]),
        version=row["version"],
        patient=row["patient"],
        patient_id=patient[1] if patient else None,
        several=row["several"],
        request=row["request"],
        address=row["address"],
        detail=_opened_detail(tenant, row["detail"]) if whole and row["detail"] else None,
        emergency=_emergency(row, opened),
    )


def _opened_detail(tenant: Tenant, sealed: bytes) -> Json:
    try:
        detail = json.decode(tenant.keystore.open(sealed, SEAL))
    except (InvalidSeal, FhirError):
        return {"unreadable": "the detail was changed, or sealed by another key"}
    return detail if isinstance(detail, dict) else {}


def _stored(tenant: Tenant, line: Line) -> Stored:
    event = audit_event(tenant, line)
    patients = (line.patient,) if line.patient is not None else ()
    return Stored(0, "AuditEvent", event["id"], 1, line.recorded, False, POST, 0, 0, patients, json.encode(event))
