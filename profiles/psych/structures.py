"""StructureDefinitions: a differential of each measure out of its row, the twin's own profiles, and our extensions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from profiles.psych import alerting
from profiles.psych.codes import BASE, SNOMED, actigraphy, digital_twin, profile
from profiles.psych.measures import MEASURES, Measure
from profiles.psych.questionnaires import INSTRUMENTS, Instrument

Resource = dict[str, Any]
CORE = "http://hl7.org/fhir/StructureDefinition"

_VALUES = {
    "level": ("Quantity",),
    "count": ("Quantity",),
    "day": ("Quantity",),
    "session": ("Quantity",),
    "stage": ("CodeableConcept", "SampledData"),
    "activity": ("CodeableConcept",),
}
_TIMES = {
    "level": ("dateTime", "Period"),
    "day": ("dateTime", "Period"),
    "panel": ("dateTime", "Period"),
}

EXTENSIONS = (
    ("source-detail", "What a source says beside the measurement, word for word", ("Observation",)),
    ("source-time", "A time that a source states and that FHIR cannot hold, word for word", ("Observation",)),
    ("digital-twin-coverage", "Measured part of the day by signal", ("Observation",)),
    ("digital-twin-feature", "How a number came about: window, method, coverage, baseline", ("Observation.component",)),
    ("message-delivery", "What came of a message: way, state, reason, time", ("Communication.recipient",)),
    ("actigraphy-embedding-facts", "A week as numbers (little-endian float32): card, coverage, strangeness", ("Observation",)),
    ("model-card-reference", "The card of the model that a Device is", ("Device",)),
    ("model-source-attribute", "One of the 31 source attributes of a model", ("Library",)),
    ("digital-twin-interval", "The 95 % interval of a number: low, high, by which method", ("Observation.component",)),
    ("prediction-interval", "The interval of a prediction: percent, or a quantity", ("RiskAssessment.prediction",)),
    ("prediction-comparator", "What the simpler model says", ("RiskAssessment.prediction",)),
    ("prediction-input", "An input of a prediction and what it adds to the log odds", ("RiskAssessment.prediction",)),
    ("prediction-value", "A predicted number", ("RiskAssessment.prediction",)),
    ("note-draft", "How a drafted note came about, who asked, how much is supported", ("DocumentReference",)),
    ("note-statement", "A sentence of a note: form, topic, citations, what is wrong with it", ("Composition.section",)),
    ("note-signed", "When a note was signed, and how much was changed before", ("DocumentReference",)),
    ("note-edit", "How far a section is from its draft, in tokens", ("Composition.section",)),
    ("note-span", "Where in a document a proposal was found, how it is meant", ("Condition", "Observation", "MedicationStatement")),
)  # fmt: skip
SIMPLE = (("message-detail", "How much a message to this contact point may say", "code", ("ContactPoint",)),)
"""Extensions that hold one value."""


def structures(base: str = BASE) -> Iterator[Resource]:
    """Yield every StructureDefinition."""
    for measure in MEASURES:
        yield measured(measure, base)
    for instrument in INSTRUMENTS:
        yield scored(instrument, base)
    yield from _of_the_twin(base)
    yield from _of_models(base)
    yield _embedding(base)
    yield from _of_alerts(base)
    yield from _of_notes(base)
    for name, title, contexts in (*EXTENSIONS, *alerting.EXTENSIONS):
        yield _extension(name, title, contexts, base)
    for name, title, type_, contexts in SIMPLE:
        yield _simple(name, title, type_, contexts, base)


def measured(measure: Measure, base: str = BASE) -> Resource:
    """Return the profile of a measure."""
    elements = [
        _element("Observation.code", min=1, patternCodeableConcept=concept(measure, base)),
        _element("Observation.subject", min=1, type=[_reference("Patient")]),
        _element("Observation.effective[x]", min=0, type=[{"code": code} for code in _TIMES.get(measure.kind, ("Period",))]),
        _value(measure, base),
        _element("Observation.device", min=1),
    ]  # fmt: skip
    if measure.kind == "gap":
        elements.append(_element("Observation.dataAbsentReason", min=1))
    return structure(measure.name, measure.title, "Observation", elements, base)


def concept(measure: Measure, base: str = BASE) -> Resource:
    """Return the code of a measure as a pattern: the codings without their displays."""
    return {"coding": [{"system": system or actigraphy(base), "code": code} for system, code, _ in measure.codes]}


def _value(measure: Measure, base: str) -> Resource:
    types = _VALUES.get(measure.kind)
    if types is None:
        return _element("Observation.value[x]", max="0")
    if measure.sampled and "SampledData" not in types:
        types = (*types, "SampledData")
    more: Resource = {}
    if measure.units and "Quantity" in types:
        more["binding"] = {"strength": "required", "valueSet": f"{base}/ValueSet/{measure.name}-units"}
    elif measure.kind == "stage":
        more["binding"] = {"strength": "required", "valueSet": f"{base}/ValueSet/sleep-stages"}
    return _element("Observation.value[x]", type=[{"code": code} for code in types], **more)


def scored(instrument: Instrument, base: str = BASE) -> Resource:
    """Return the profile of the total score of a questionnaire."""
    system, code, _ = instrument.total
    pattern = {"coding": [{"system": system or actigraphy(base), "code": code}]}
    elements = [
        _element("Observation.code", min=1, patternCodeableConcept=pattern),
        _element("Observation.subject", min=1, type=[_reference("Patient")]),
        _element("Observation.effective[x]", min=1, type=[{"code": "dateTime"}]),
        _element("Observation.value[x]", type=[{"code": "Quantity"}]),
        _element("Observation.derivedFrom", type=[_reference("QuestionnaireResponse")]),
    ]
    return structure(f"{instrument.name}-score", f"{instrument.title}: score", "Observation", elements, base)


def _of_the_twin(base: str) -> Iterator[Resource]:
    state = {"coding": [{"system": digital_twin(base), "code": "digital-twin-state"}]}
    yield structure(
        "digital-twin-state",
        "State of the digital twin on a local day: features, each with interval, coverage, baseline, deviation",
        "Observation",
        [
            _element("Observation.code", min=1, patternCodeableConcept=state),
            _element("Observation.subject", min=1, type=[_reference("Patient")]),
            _element("Observation.effective[x]", min=1, type=[{"code": "Period"}]),
            _element("Observation.value[x]", max="0"),
            _element("Observation.method", min=1),
            _element("Observation.device", min=1),
        ],
        base,
    )


def _of_models(base: str) -> Iterator[Resource]:
    """Yield the profiles of what models say, of the software that says it, and of their cards."""
    yield structure(
        "prediction",
        "A forecast about a patient: probability or range, for when, by which model, from what",
        "RiskAssessment",
        [
            _element("RiskAssessment.subject", min=1, type=[_reference("Patient")]),
            _element("RiskAssessment.method", min=1),
            _element("RiskAssessment.performer", min=1, type=[_reference("Device")]),
            _element("RiskAssessment.basis", min=1),
            _element("RiskAssessment.prediction", min=1),
        ],
        base,
    )
    software = {"coding": [{"system": SNOMED, "code": "706687001"}]}
    yield structure(
        "software-device",
        "Software that computes or converts data, with its version",
        "Device",
        [
            _element("Device.identifier", min=1),
            _element("Device.deviceName", min=1),
            _element("Device.type", min=1, patternCodeableConcept=software),
            _element("Device.version", min=1),
        ],
        base,
    )
    card = {"coding": [{"system": digital_twin(base), "code": "model-card"}]}
    yield structure(
        "model-card",
        "Model card: what a model is for, what it was made from and how it was tested",
        "Library",
        [
            _element("Library.type", min=1, patternCodeableConcept=card),
            _element("Library.version", min=1),
            _element("Library.purpose", min=1),
            _element("Library.usage", min=1),
            _element("Library.content", min=1),
        ],
        base,
    )


def _embedding(base: str) -> Resource:
    embedding = {"coding": [{"system": digital_twin(base), "code": "actigraphy-embedding"}]}
    return structure(
        "actigraphy-embedding",
        "A week of activity as numbers of a model, with the share of attention of its minutes, or why there are none",
        "Observation",
        [
            _element("Observation.code", min=1, patternCodeableConcept=embedding),
            _element("Observation.subject", min=1, type=[_reference("Patient")]),
            _element("Observation.effective[x]", min=1, type=[{"code": "Period"}]),
            _element("Observation.value[x]", max="0"),
            _element("Observation.method", min=1),
            _element("Observation.device", min=1, type=[_reference("Device")]),
            _element("Observation.note", min=1),
        ],
        base,
    )


def _of_alerts(base: str) -> Iterator[Resource]:
    """Yield the profiles of alert rules and of the alerts that they raise."""
    eca = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/plan-definition-type", "code": "eca-rule"}]}
    yield structure(
        "alert-rule",
        "Alert rule over the digital twin: criteria, a FHIRPath condition over them, who is told",
        "PlanDefinition",
        [
            _element("PlanDefinition.url", min=1),
            _element("PlanDefinition.type", min=1, patternCodeableConcept=eca),
            _element("PlanDefinition.action", min=1, max="1"),
        ],
        base,
    )
    yield structure(
        "alert",
        "Alert raised by an alert rule: preliminary until somebody has taken note, cancelled when it was not raised after all",
        "DetectedIssue",
        [
            _element("DetectedIssue.code", min=1),
            _element("DetectedIssue.patient", min=1, type=[_reference("Patient")]),
            _element("DetectedIssue.identified[x]", min=1, type=[{"code": "Period"}]),
            _element("DetectedIssue.author", min=1, type=[_reference("Device")]),
            _element("DetectedIssue.reference", min=1),
        ],
        base,
    )


def _of_notes(base: str) -> Iterator[Resource]:
    yield structure(
        "note",
        "A note that was drafted here, with its statements in a contained Composition",
        "DocumentReference",
        [
            _element("DocumentReference.docStatus", min=1),
            _element("DocumentReference.subject", min=1, type=[_reference("Patient")]),
            _element("DocumentReference.author", min=1),
            _element("DocumentReference.context", min=1),
        ],
        base,
    )


def structure(name: str, title: str, type_: str, elements: Sequence[Resource], base: str = BASE) -> Resource:
    """Return a StructureDefinition that constrains a resource type."""
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        **described(f"StructureDefinition/{name}", name, title, base),
        "fhirVersion": "4.0.1",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": f"{CORE}/{type_}",
        "derivation": "constraint",
        "differential": {"element": [{"id": type_, "path": type_, "short": title}, *elements]},
    }


def described(place: str, name: str, title: str, base: str) -> Resource:
    """Return what every conformance resource of ours says of itself."""
    return {
        "url": f"{base}/{place}",
        "version": "1.0.0",
        "name": "".join(part.capitalize() for part in name.replace(".", "-").split("-")),
        "title": title,
        "status": "active",
        "date": "2026-11-25",
        "publisher": "Clarity",
        "description": f"{title}.",
    }


def _extension(name: str, title: str, contexts: Sequence[str], base: str) -> Resource:
    elements = [
        {"id": "Extension", "path": "Extension", "short": title},
        _element("Extension.extension", min=1),
        _element("Extension.url", fixedUri=profile(name, base)),
        _element("Extension.value[x]", max="0"),
    ]
    return structure(name, title, "Extension", (), base) | {
        "kind": "complex-type",
        "context": [{"type": "element", "expression": path} for path in contexts],
        "differential": {"element": elements},
    }


def _simple(name: str, title: str, type_: str, contexts: Sequence[str], base: str) -> Resource:
    elements = [
        {"id": "Extension", "path": "Extension", "short": title},
        _element("Extension.extension", max="0"),
        _element("Extension.url", fixedUri=profile(name, base)),
        _element("Extension.value[x]", min=1, type=[{"code": type_}]),
    ]
    return _extension(name, title, contexts, base) | {"differential": {"element": elements}}


def _element(path: str, **more: Any) -> Resource:
    return {"id": path, "path": path, **more}


def _reference(type_: str) -> Resource:
    return {"code": "Reference", "targetProfile": [f"{CORE}/{type_}"]}
