"""search of one type, of all types, or of one type inside a compartment, by GET or POST (R4 `search.html`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from fhir_server.audit.record import audit_row, audit_written
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import NotFound
from fhir_server.interactions import audit_events
from fhir_server.interactions.address import ALL, Params
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.codes import interaction_of
from fhir_server.kit import clock, ids
from fhir_server.model import bundles, views
from fhir_server.search import contained, run
from fhir_server.search.compartment import Compartment
from fhir_server.search.run import Page
from profiles.registry import R4


@dataclass(frozen=True, slots=True)
class _Place:
    """What is searched: the type (None for all), and whose compartment everything found must be in."""

    type: str | None
    compartment: Compartment | None = None


async def search(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET [Type]?…`, `POST [Type/]_search` and the same below `Patient/id/`, where `*` is all types."""
    interaction = interaction_of(call.method, call.address.kind)
    place = _place(call)
    page = await _page(ctx, call, place, interaction)
    path = _path(call)
    row = audit_row(
        ctx,
        interaction,
        200,
        type=place.type,
        patients=sorted({patient for row in (*page.rows, *page.included) for patient in row.patients}),
        query=f"{path}?{urlencode(page.applied)}",
    )
    if call.nested:  # all entries of a Bundle are audited together
        return Result(200, _bundle(ctx, path, page, place.type), audit=[row])
    async with audit_written(ctx.tenant, [row]):
        body = _bundle(ctx, path, page, place.type)
    return Result(200, body, audit=[row], audited=True)


def _place(call: Call) -> _Place:
    address = call.address
    if address.member is None:
        return _Place(address.type)
    if address.type not in R4.compartments or address.id is None:
        text = f"There are compartments of {', '.join(R4.compartments)}, as in Patient/123/Observation."
        raise NotFound(text, "compartment-unknown", code="not-supported")
    member = None if address.member == ALL else address.member
    return _Place(member, Compartment(address.type, address.id))


async def _page(ctx: RequestContext, call: Call, place: _Place, interaction: str) -> Page:
    visibility: run.Seeing
    if place.type is None:
        visibility = await policy.visibilities(ctx, interaction)
    else:
        visibility = await policy.visibility(ctx, place.type, interaction)
        if place.type == audit_events.TYPE and place.compartment is None:
            return await audit_events.search(ctx, call, visibility)
    limits = call.limits
    return await run.search(
        ctx,
        place.type,
        call.params,
        visibility=visibility,
        compartment=place.compartment,
        default=limits.page_default,
        most=limits.page_max,
        sees=policy.sees(ctx),
        most_included=limits.included_max,
    )


def _path(call: Call) -> str:
    address = call.address
    return "/".join(part for part in (address.type, address.id, address.member) if part)


def _bundle(ctx: RequestContext, path: str, page: Page, type_: str | None) -> bytes:
    url = f"{ctx.base}/{path}".rstrip("/")
    links = [("self", _link(url, page.applied))]
    repeated = page.applied if type_ == audit_events.TYPE else []
    cursors = {"first": page.first, "previous": page.previous, "next": page.next}
    links += [(name, _link(url, [*repeated, ("_cursor", at)])) for name, at in cursors.items() if at is not None]
    return bundles.bundle(
        "searchset",
        _entries(ctx.base, page),
        id_=ids.new_id(),
        moment=clock.now(),
        total=page.total,
        links=links,
    )


def _entries(base: str, page: Page) -> Iterable[bytes]:
    view = views.parse_view(page.applied)
    for row in page.rows:
        met = page.inside.get(row.rid)
        if met is None or met.itself:
            yield bundles.search_entry(base, row.type, row.id, views.apply(row.body, view))
        if met is not None:  # its address is the container's, and where in it (R4 search.html#contained)
            for id_, body in contained.opened(row.body, met.ids):
                yield bundles.search_entry(base, row.type, f"{row.id}#{id_}", views.apply(body, view))
    # `_elements` is about the matches only (R4 search.html#elements).
    beside = views.parse_view([pair for pair in page.applied if pair[0] != "_elements"])
    for row in page.included:
        yield bundles.search_entry(base, row.type, row.id, views.apply(row.body, beside), b"include")
    if page.issues:
        yield bundles.outcome_entry(page.issues)


def _link(url: str, params: Params) -> str:
    return f"{url}?{urlencode(params)}" if params else url
