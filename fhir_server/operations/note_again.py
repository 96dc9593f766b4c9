"""Before a note is signed: what the server drafted is told from what was written since, and checked where its sources changed.

The version that the server wrote is the measure, never what a later write says of itself: a sentence that differs from it in any
way is the clinician's, and cites nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date
from typing import Final

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Json
from fhir_server.kit import json
from fhir_server.operations import note_texts
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from workers.notes.checker import check
from workers.notes.note import Section, Statement
from workers.notes.record import STATE, WRITTEN, Record, codes_of
from workers.twin.zone import zone_of

_TEXTS: Final = frozenset(WRITTEN)


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
    """Return the sections with the statements checked anew that rest on a resource which was changed or erased since the draft."""
    names = sorted({c.target for s in sections for each in s.statements for c in each.citations if "?" not in c.target})
    pairs = [(name.partition("/")[0], name.partition("/")[2]) for name in [*names, note["subject"]["reference"]]]
    seen = await policy.visibilities(ctx, "read", sorted({type_ for type_, _ in pairs}))
    found = await reads.read_many(ctx.tenant, [each for each in pairs if each[0] in seen], seen)
    there = {f"{type_}/{id_}": row for (type_, id_), row in found.items() if not row.deleted}
    bodies = {name: json.decode_trusted(row.body) for name, row in there.items()}
    changed = {name for name in names if name not in there or there[name].last_updated > drafted.last_updated}
    changed -= {name for name in changed if codes_of(bodies.get(name, {})) & {STATE}}  # made anew every day
    if not changed:
        return sections
    quoted, _ = await note_texts.texts(ctx, [bodies[name] for name in names if name in bodies])
    patient = bodies.get(note["subject"]["reference"], {})
    first, last = (date.fromisoformat(note["context"]["period"][end][:10]) for end in ("start", "end"))
    record = Record(
        note["subject"]["reference"], first, last, bodies, zone=zone_of(patient) or UTC, base=base, texts=quoted
    )
    return [replace(s, statements=tuple(_checked(each, changed, record) for each in s.statements)) for s in sections]


def _checked(told: Statement, changed: set[str], record: Record) -> Statement:
    """Return a statement with what is wrong with it now; one that also rests on a search keeps what was found then."""
    if not any(c.target in changed for c in told.citations):
        return told
    if any("?" in c.target for c in told.citations):
        return told
    return replace(told, problems=tuple(dict.fromkeys((*told.problems, *check(told, record).problems))))
