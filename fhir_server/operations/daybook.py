"""What a caller may see of a patient's daybook: the window asked for, pages and digests that rest on visible resources alone.

Pages are made of all signals, so whoever sees only some of the Observations gets pages that are made of those, anew: hidden
Observations are as if they were not there. A feature or state is shown where the Observation that says it is visible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest
from fhir_server.interactions.call import Call
from fhir_server.interactions.results import absent
from fhir_server.kit import clock
from fhir_server.operations.parameters import Given
from fhir_server.search.compartment import reached
from fhir_server.storage import blocks, daybook, reads
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility
from workers.twin import block as signal_block
from workers.twin import codec, digest
from workers.twin.block import Block
from workers.twin.catalogue import NAMES
from workers.twin.daybook import Page, blocks_needed, decode, decode_numbers, pages, stretches, touched
from workers.twin.digest import Digest
from workers.twin.features import FEATURES
from workers.twin.ids import state_id
from workers.twin.recording import Recording
from workers.twin.stamp import Stamp, parse_stamp

READ = ("Observation", "QuestionnaireResponse")
"""Types that signals come from."""
SCORES = frozenset(feature.code for feature in FEATURES if feature.domain == "symptom")
"""Answers of a questionnaire are shown where the questionnaire is visible, not where the state of its day is."""
USUAL = 90
"""Days shown when no start is given."""
LONGEST = 36_525
_CHUNK = 120
_EARLIER = 3
"""UTC days before a window whose blocks may reach into its first local day, or into the day before that one."""


@dataclass(frozen=True, slots=True)
class Window:
    """The local days that are looked at."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class View:
    """A patient's days as one caller sees them; `states` are the days whose state Observation is visible."""

    patient: Stored
    made_by: Stamp
    window: Window
    pages: Mapping[date, Page]
    digests: Mapping[date, Digest]
    states: Mapping[date, str]
    sources: Mapping[int, tuple[str, str]]
    seen: Mapping[str, Visibility]
    whole: bool

    def features(self) -> dict[date, Page]:
        """Return the pages whose numbers may be shown as features."""
        return {day: page for day, page in self.pages.items() if day in self.states}

    def references(self, signal: str) -> list[tuple[date, str]]:
        """Return the Observations of a signal that are listed one by one, by day."""
        return [
            (day, "/".join(self.sources[rid]))
            for day, page in self.pages.items()
            for part in page.inputs
            if part.signal == signal
            for rid in part.rids
            if rid in self.sources
        ]


async def view(ctx: RequestContext, call: Call, given: Given, *, signals: bool = True) -> View:
    """Return what the caller may see of the patient of the address in the window that is asked for.

    Without `signals` the pages hold what states say alone: nothing of the Observations below them is read or computed.
    """
    assert call.address.id
    tenant = ctx.tenant
    patient = await reads.read(tenant, "Patient", call.address.id, await policy.visibility(ctx, "Patient", "read"))
    if patient is None or patient.deleted:
        raise absent()
    seen = {"Observation": await policy.visibility(ctx, "Observation", "search-type")}
    seen |= await policy.visibilities(ctx, "search-type", ["QuestionnaireResponse"])
    whole = all([await sees_record(tenant, type_, seen.get(type_, ()), patient.rid) for type_ in READ])
    made_by = parse_stamp(await daybook.stamp(tenant, patient.rid))
    window = await _window(tenant, patient.rid, given, whole=whole)
    kept = await daybook.read(tenant, patient.rid, window.first, window.last)
    found = {day: (decode if signals else decode_numbers)(each.page) for day, each in kept.items()}
    if not signals:
        sources: dict[int, tuple[str, str]] = {}
        found = {day: _joined(None, page) for day, page in found.items()}
    elif whole:
        rids = sorted({rid for page in found.values() for part in page.inputs for rid in part.rids})
        sources = await reads.seen(tenant, rids, seen)
    else:
        found, sources = await _restricted(tenant, patient.rid, made_by.zone, seen, found)
    names = {state_id(patient.id, day): day for day in kept}
    visible = await reads.seen_ids(tenant, "Observation", list(names), seen["Observation"])
    states = {names[id_]: f"Observation/{id_}" for id_ in visible}
    told = {day: digest.read(each.state) for day, each in kept.items() if each.state and day in states}
    if signals and not whole:  # features come from pages of all signals: the state that is visible says them already
        whole_pages = {day: decode(kept[day].page) for day in states}
        found = {day: _joined(found.get(day), whole_pages.get(day)) for day in {*found, *whole_pages}}
    ordered = {day: found[day] for day in sorted(found)}
    return View(patient, made_by, window, ordered, told, states, sources, seen, whole)


def _joined(signals: Page | None, features: Page | None) -> Page:
    """Return a page with the signals that are visible and the features of a state that is."""
    said = [number for number in features.numbers if number[0] not in SCORES] if features else []
    said += [number for number in signals.numbers if number[0] in SCORES] if signals else []
    coverage = features.coverage if features else ()
    return Page(tuple(said), coverage, signals.signals if signals else (), signals.inputs if signals else ())


async def sees_record(tenant: Tenant, type_: str, visibility: Visibility, patient: int) -> bool:
    """Tell whether all of a type in a patient's compartment is visible: what is kept from the caller is not there."""
    compartment = pack(COMPARTMENT, patient)
    for grant in visibility:
        asked = not (grant.rids or grant.not_rids or grant.through) and set(grant.all_of) <= {compartment}
        asked = asked and all(compartment in group for group in grant.any_of)
        asked = asked and not any(compartment in each.group for each in grant.unless)
        if not asked:
            continue
        index = reached(patient, type_)
        labelled = grant.none_of and await reads.any_holds(tenant, type_, index, grant.none_of)
        others = [key for each in grant.unless for key in each.group]
        if not labelled and not (others and await reads.any_of_others(tenant, type_, index, others)):
            return True
    return False


async def _restricted(
    tenant: Tenant,
    patient: int,
    zone: tzinfo,
    seen: Mapping[str, Visibility],
    kept: Mapping[date, Page],
) -> tuple[dict[date, Page], dict[int, tuple[str, str]]]:
    """Return the pages as they would be without the Observations that the caller does not see."""
    out: dict[date, Page] = {}
    sources: dict[int, tuple[str, str]] = {}
    for some in stretches(sorted(kept), _CHUNK):
        stored = await blocks.read(tenant.pool, tenant, patient, *blocks_needed(some[0], some[-1]))
        loaded = {(NAMES[signal], day): codec.decode(body) for (signal, day), body in stored.items()}
        rids = sorted({rid for each in loaded.values() for rid in each.sources["rid"].tolist()})
        visible = await reads.seen(tenant, rids, seen)
        sources |= visible
        out |= await asyncio.to_thread(_made, loaded, frozenset(visible), zone, some)
    return out, sources


def _made(
    loaded: Mapping[tuple[str, date], Block], visible: frozenset[int], zone: tzinfo, days: list[date]
) -> dict[date, Page]:
    recording = Recording.of({key: signal_block.only(each, visible) for key, each in loaded.items()}, zone)
    return pages(recording, set(days).intersection(touched(recording)))


async def recording(tenant: Tenant, found: View, names: Sequence[str]) -> Recording:
    """Return the samples of signals in the window that the caller sees, for resolutions finer than a day."""
    first, last = found.window.first - timedelta(days=_EARLIER), found.window.last + timedelta(days=1)
    signals = [NAMES.index(name) for name in names]
    stored = await blocks.read(tenant.pool, tenant, found.patient.rid, first, last, signals)
    loaded = {(NAMES[signal], day): codec.decode(body) for (signal, day), body in stored.items()}
    if not found.whole:
        visible = frozenset(found.sources)
        loaded = {key: signal_block.only(each, visible) for key, each in loaded.items()}
    return await asyncio.to_thread(Recording.of, loaded, found.made_by.zone)


async def _window(tenant: Tenant, patient: int, given: Given, *, whole: bool) -> Window:
    """Return the days asked for; without an end up to the last that is known, without a start 90 days.

    Who does not see everything gets today for an end: the last day might be one of hidden data.
    """
    start, end = _date(given, "start"), _date(given, "end")
    if end is None:
        known = await daybook.span(tenant, patient) if whole else None
        last = known[1] if known else clock.now().date()
        end = max(last, start) if start else last
    if start is None:
        start = end - timedelta(days=USUAL - 1)
    if start > end:
        raise BadRequest("start is not after end.", "parameter-value", "start")
    if (end - start).days >= LONGEST:
        raise BadRequest(f"The window has {LONGEST} days at most.", "parameter-value", "start")
    return Window(start, end)


def _date(given: Given, name: str) -> date | None:
    text = given.get(name, [None])[0]
    if text is None:
        return None
    try:
        found = datetime.strptime(str(text), "%Y-%m-%d").date()  # noqa: DTZ007  a day of the patient's calendar
    except ValueError:
        raise BadRequest(f"{name} is a day: YYYY-MM-DD.", "parameter-value", name) from None
    if not date(1900, 1, 1) <= found <= date(2200, 1, 1):
        raise BadRequest(f"{name} lies between 1900 and 2200.", "parameter-value", name)
    return found
