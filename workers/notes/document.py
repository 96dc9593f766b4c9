"""A note as FHIR and back: DocumentReference with the text and a contained Composition of all statements, Provenance, Device.

Text and structure are one resource, so that a version of a note is one version: neither can change without the other.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fhir_server.kit import clock, html
from workers.notes.note import OUTLINES, Kind, Note, Section, Statement, markdown, section_system, sources, title
from workers.notes.record import Citation, Record
from workers.twin.codes import BASE, LOINC, SNOMED, origin, profile
from workers.twin.resources import Resource

CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
LEVELS: Final = "ULMNRV"
PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
CATEGORY: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
COMPOSITION: Final = "note"
DEVICE: Final = "clarity-notes-1"


@dataclass(frozen=True, slots=True)
class Made:
    """Ids and circumstances of a draft."""

    id: str
    moment: datetime
    asked_by: str | None
    version: str
    """Of the code."""


def document(note: Note, record: Record, made: Made) -> Resource:
    """Return the DocumentReference of a draft."""
    text = markdown(note)
    return {
        "resourceType": "DocumentReference",
        "id": made.id,
        "meta": {
            "profile": [profile("note", record.base)],
            "tag": [_tag(record.base)],
            "security": labels(note, record),
        },
        "contained": [composition(note, record, made)],
        "extension": [_draft(note, record, made)],
        "status": "current",
        "docStatus": "preliminary",
        "type": _type(note.kind),
        "category": [{"coding": [{"system": CATEGORY, "code": "clinical-note", "display": "Clinical Note"}]}],
        "subject": {"reference": record.patient},
        "date": clock.instant(made.moment),
        "author": [{"reference": f"Device/{DEVICE}"}],
        "description": title(note.kind, note.language),
        "content": [{"attachment": attachment(text, note, made.moment)}],
        "context": {
            "period": {"start": record.first.isoformat(), "end": record.last.isoformat()},
            "related": [{"reference": f"#{COMPOSITION}"}],
        },
    }


def attachment(text: str, note: Note, moment: datetime) -> Resource:
    """Return the text of a note as an Attachment."""
    data = text.encode()
    return {
        "contentType": "text/markdown",
        "language": note.language,
        "data": base64.b64encode(data).decode(),
        "size": len(data),
        "hash": base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode(),  # R4 says SHA-1
        "title": title(note.kind, note.language),
        "creation": clock.instant(moment),
    }


def composition(note: Note, record: Record, made: Made) -> Resource:
    """Return the contained Composition, preliminary."""
    return {
        "resourceType": "Composition",
        "id": COMPOSITION,
        "language": note.language,
        "status": "preliminary",
        "type": _type(note.kind),
        "subject": {"reference": record.patient},
        "date": clock.instant(made.moment),
        "author": [{"reference": f"Device/{DEVICE}"}],
        "title": title(note.kind, note.language),
        "section": [section(each, record.base) for each in note.sections],
    }


def _type(kind: Kind) -> Resource:
    outline = OUTLINES[kind]
    return {"coding": [{"system": LOINC, "code": outline.loinc, "display": outline.display}], "text": outline.title[0]}


def _tag(base: str) -> Resource:
    return {"system": origin(base), "code": "note", "display": "Drafted by the server"}


def _draft(note: Note, record: Record, made: Made) -> Resource:
    supported, claims = note.support()
    parts: list[Resource] = [
        {"url": "kind", "valueCode": note.kind},
        {"url": "method", "valueString": note.method},
        {"url": "template", "valueString": note.template},
        {"url": "statements", "valueInteger": claims},
        {"url": "supported", "valueInteger": supported},
    ]
    parts += [{"url": "timeZone", "valueCode": str(record.zone)}]
    parts += [{"url": "reason", "valueString": note.reason}] if note.reason else []
    parts += [{"url": "askedBy", "valueReference": {"reference": made.asked_by}}] if made.asked_by else []
    return {"url": profile("note-draft", record.base), "extension": parts}


def section(told: Section, base: str = BASE) -> Resource:
    """Return a section with its text and, as extensions, its statements."""
    items = "".join(f"<li>{html.text(each.text)}</li>" for each in told.statements)
    entries = [{"reference": target} for target in sources(told.statements) if "?" not in target]
    made: Resource = {
        "extension": [_statement(each, base) for each in told.statements],
        "title": told.title,
        "code": {"coding": [{"system": section_system(base), "code": told.code}]},
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><ul>{items}</ul></div>'},
    }
    return made | ({"entry": entries} if entries else {})


def _statement(told: Statement, base: str) -> Resource:
    parts: list[Resource] = [
        {"url": "text", "valueString": told.text},
        {"url": "form", "valueCode": told.form},
        {"url": "topic", "valueCode": told.topic},
    ]
    parts += [{"url": "citation", "extension": _citation(each)} for each in told.citations]
    parts += [{"url": "problem", "valueCode": each} for each in told.problems]
    return {"url": profile("note-statement", base), "extension": parts}


def _citation(cited: Citation) -> list[Resource]:
    parts: list[Resource] = [
        {"url": "search", "valueUri": cited.target}
        if "?" in cited.target
        else {"url": "resource", "valueReference": {"reference": cited.target}}
    ]
    given = {"element": cited.element, "value": cited.value, "statistic": cited.statistic or ""}
    return parts + [{"url": url, "valueString": text} for url, text in given.items() if text]


def labels(note: Note, record: Record) -> list[Resource]:
    """Return the security labels of all that a note cites: the highest confidentiality, every sensitivity."""
    found: dict[tuple[str, str], Resource] = {}
    for resource in cited(note, record):
        for label in resource.get("meta", {}).get("security", ()):
            found[str(label.get("system")), str(label.get("code"))] = {
                k: label[k] for k in ("system", "code", "display") if k in label
            }
    levels = [code for system, code in found if system == CONFIDENTIALITY and code in LEVELS]
    highest = max(levels, key=LEVELS.index, default="R")
    highest = max(highest, "R", key=LEVELS.index)
    rest = [label for (system, _), label in sorted(found.items()) if system != CONFIDENTIALITY]
    return [{"system": CONFIDENTIALITY, "code": highest}, *rest]


def cited(note: Note, record: Record) -> Iterable[Resource]:
    """Yield the resources that a note rests on, those found by its searches included."""
    for target in sources(note.statements):
        if "?" in target:
            yield from record.found(target) or []
        elif target in record.resources:
            yield record.resources[target]


def provenance(note: Note, record: Record, made: Made, target: str) -> Resource:
    """Return who drafted what from which resources and searches, with which template."""
    entities = [{"role": "source", "what": _what(each)} for each in sources(note.statements)]
    agents: list[Resource] = [{"type": _participant("assembler"), "who": {"reference": f"Device/{DEVICE}"}}]
    agents += [{"type": _participant("enterer"), "who": {"reference": made.asked_by}}] if made.asked_by else []
    template = {"type": "Library", "identifier": {"system": f"{record.base}/NamingSystem/note-template", "value": note.template},
                "display": f"method {note.method}, code {made.version}"}  # fmt: skip
    return {
        "resourceType": "Provenance",
        "meta": {"tag": [_tag(record.base)], "security": labels(note, record)},
        "target": [{"reference": target}],
        "occurredPeriod": {"start": record.first.isoformat(), "end": record.last.isoformat()},
        "recorded": clock.instant(made.moment),
        "agent": agents,
        "entity": [*entities, {"role": "derivation", "what": template}],
    }


def _what(target: str) -> Resource:
    if "?" not in target:
        return {"reference": target}
    return {"type": target.partition("?")[0], "identifier": {"system": "urn:ietf:rfc:3986", "value": target}}


def _participant(code: str) -> Resource:
    return {"coding": [{"system": PARTICIPANT, "code": code, "display": code.capitalize()}]}


def device(base: str = BASE) -> Resource:
    """Return the Device that stands for the drafting software."""
    return {
        "resourceType": "Device",
        "id": DEVICE,
        "meta": {"tag": [_tag(base)]},
        "identifier": [{"system": f"{base}/NamingSystem/software", "value": DEVICE}],
        "status": "active",
        "manufacturer": "Clarity",
        "deviceName": [{"name": "Clarity notes", "type": "model-name"}],
        "type": {"coding": [{"system": SNOMED, "code": "706687001", "display": "Software"}]},
        "note": [{"text": "Drafts notes and proposes findings; a clinician signs or accepts. Not a medical device."}],
    }


# ---- back ----


def parts_of(extension: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a complex extension by url; of repeated ones the last."""
    return {
        each["url"]: next((v for k, v in each.items() if k.startswith("value")), each.get("extension"))
        for each in extension.get("extension", ())
    }


def draft_of(resource: Resource) -> dict[str, Any] | None:
    """Return what is kept of how a draft came about; None of a document that is none of ours."""
    for extension in resource.get("extension", ()):
        if extension.get("url", "").endswith("/StructureDefinition/note-draft"):
            return parts_of(extension)
    return None


def sections_of(resource: Resource) -> list[Section]:
    """Return the sections of a note, from its contained Composition."""
    inner: Resource = next((c for c in resource.get("contained", ()) if c.get("id") == COMPOSITION), {})
    return [
        Section(
            each["code"]["coding"][0]["code"],
            each.get("title", ""),
            tuple(
                _statement_of(e)
                for e in each.get("extension", ())
                if e["url"].endswith("/StructureDefinition/note-statement")
            ),
        )
        for each in inner.get("section", ())
    ]


def _statement_of(extension: Mapping[str, Any]) -> Statement:
    given = parts_of(extension)
    inside: Sequence[Any] = extension["extension"]
    cited = tuple(_citation_of(each) for each in inside if each["url"] == "citation")
    problems = tuple(each["valueCode"] for each in inside if each["url"] == "problem")
    return Statement(given["topic"], given["text"], cited, given["form"], problems)


def _citation_of(extension: Mapping[str, Any]) -> Citation:
    given = parts_of(extension)
    target = given.get("search") or given["resource"]["reference"]
    return Citation(target, given.get("element", ""), given.get("value", ""), given.get("statistic"))
