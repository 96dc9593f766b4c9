"""Before a note is signed: what the server drafted is told from what was written since, and checked where its sources changed.

The version that the server wrote is the measure, never what a later write says of itself: a sentence that differs from it in any
way is the clinician's, and cites nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, timedelta
from typing import Final
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from fhir_server.audit.record import audit_row, write_audit
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Json
from fhir_server.kit import json
from fhir_server.operations import note_texts
from fhir_server.search import run
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from workers.notes.checker import CHANGED, check
from workers.notes.document import draft_of
from workers.notes.note import Section, Statement
from workers.notes.record import SCORES, STATE, Citation, Record
from workers.twin.zone import zone_of

_MOST: Final = 1000
"""Resources that a search of a citation is looked through for: more than a note is ever made of."""


def owned(sections: Sequence[Section], drafted: Iterable[Section]) -> list[Section]:
    """Return the sections with every statement that the server did not draft as the clinician's own."""
    known = {_key(s.code, each): each for s in drafted for each in s.statements}
    return [
        replace(s, statements=tuple(known.get(_key(s.code, each)) or _own(each) for each in s.statements))
        for s in sections
    ]


def _key(code: str, told: Statement) -> tuple[object, ...]:
    return code, told.topic, told.text, told.citations, told.form


def _own(told: Statement) -> Statement:
    return Statement("clinician", told.text, (), "clinician")


async def again(ctx: RequestContext, base: str, note: Json, drafted: Stored, sections: list[Section]) -> list[Section]:
    """Return the sections with what is wrong by now with statements whose sources were changed, erased or added to.

    Those that rest on searches (counts, medians, absences) are looked for again, as the signer may search, until a note is signed:
    what was found then stands in a signed one.
    """
    cited = list(dict.fromkeys(c for s in sections for each in s.statements for c in each.citations))
    rows = await _there(ctx, sorted({c.target for c in cited if "?" not in c.target} | {note["subject"]["reference"]}))
    bodies = {name: json.decode_trusted(row.body) for name, row in rows.items()}
    changed = {c.target for c in cited if "?" not in c.target and _differs(rows.get(c.target), drafted)}
    if note.get("docStatus") == "preliminary":
        searches = {c.target: c for c in cited if "?" in c.target}
        found = await _found(ctx, list(searches.values()))
        changed |= searches.keys() - found.keys() | {name for name, every in found.items() if every is not None}
        bodies = {name: each for every in found.values() if every for name, each in every.items()} | bodies
    if not changed:
        return sections
    quoted, _ = await note_texts.texts(ctx, [bodies[c.target] for c in cited if c.target in bodies])
    record = _record(note, bodies, base, quoted)
    return [replace(s, statements=tuple(_checked(each, changed, record) for each in s.statements)) for s in sections]


async def _there(ctx: RequestContext, names: list[str]) -> dict[str, Stored]:
    pairs = [(name.partition("/")[0], name.partition("/")[2]) for name in names]
    seen = await policy.visibilities(ctx, "read", sorted({type_ for type_, _ in pairs}))
    found = await reads.read_many(ctx.tenant, [each for each in pairs if each[0] in seen], seen)
    return {f"{type_}/{id_}": row for (type_, id_), row in found.items() if not row.deleted}


def _differs(row: Stored | None, drafted: Stored) -> bool:
    return row is None or row.last_updated > drafted.last_updated


async def _found(ctx: RequestContext, searches: Sequence[Citation]) -> dict[str, dict[str, Json] | None]:
    """Return what each search finds now, by its address; None of one that finds more than can be looked at."""
    allowed = await policy.visibilities(ctx, "search-type", sorted({c.target.partition("?")[0] for c in searches}))
    out: dict[str, dict[str, Json] | None] = {}
    rows = []
    for cited in searches:
        type_, _, query = cited.target.partition("?")
        if type_ not in allowed:
            continue
        page = await run.search(ctx, type_, _query(type_, query), visibility=allowed[type_], most=_MOST)
        every = ((f"{row.type}/{row.id}", json.decode_trusted(row.body)) for row in page.rows)
        out[cited.target] = (
            None if page.next else {name: each for name, each in every if not note_texts.psychotherapy(each)}
        )
        rows.append(
            audit_row(ctx, "search-type", 200, type=type_, patients=sorted({p for r in page.rows for p in r.patients}))
        )
    await write_audit(ctx.tenant, rows)
    return out


def _query(type_: str, query: str) -> list[tuple[str, str]]:
    """Return a search of a citation as the one that gathered it: of questionnaires alone, final states, a day more at both ends."""
    given = []
    for name, value in parse_qsl(query):
        if name in ("date", "authored"):
            day = date.fromisoformat(value[2:]) + timedelta(days=1 if value.startswith("le") else -1)
            value = f"{value[:2]}{day}"
        given.append((name, value))
    codes = [value for name, value in given if name == "code"]
    more = (
        [("status", "final")]
        if codes == [STATE]
        else [("code", SCORES)]
        if type_ == "Observation" and not codes
        else []
    )
    return [*given, *more, ("_count", str(_MOST))]


def _record(note: Json, bodies: dict[str, Json], base: str, quoted: dict[str, str]) -> Record:
    patient = note["subject"]["reference"]
    first, last = (date.fromisoformat(note["context"]["period"][end][:10]) for end in ("start", "end"))
    noted = (draft_of(note) or {}).get("timeZone")
    zone = ZoneInfo(noted) if noted else zone_of(bodies.get(patient, {})) or UTC
    return Record(patient, first, last, bodies, zone=zone, base=base, texts=quoted)


def _checked(told: Statement, changed: set[str], record: Record) -> Statement:
    """Return a statement with what is wrong with it now, and that it was not when it was drafted."""
    if not any(c.target in changed for c in told.citations):
        return told
    new = [each for each in check(told, record).problems if each not in told.problems]
    return replace(told, problems=(*told.problems, *new, CHANGED)) if new else told
