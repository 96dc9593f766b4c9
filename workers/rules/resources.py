"""An alert as FHIR: DetectedIssue, the Task for who is responsible, one Communication for each message, Provenance, Device.

What a rule found stands in the DetectedIssue, which is in the patient's compartment; a Communication says the reason class alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from profiles.psych import messages
from profiles.psych.alerting import ACTIONS, actions
from workers.rules.criterion import REASONS, Criterion, Finding
from workers.rules.ids import ENGINE_VERSION, alert_id, device_id, message_id, provenance_id, suppressed_id
from workers.rules.lifecycle import COOLDOWN, Standing, Step
from workers.rules.plan import Json, parts_of
from workers.rules.rule import SEVERITY, Coding, Rule, Verdict
from workers.twin.codes import BASE, SNOMED, origin, profile

EVIDENCE: Final = "alert-evidence"
_SILENCE: Final = "device-silence"
_OPEN_TASK: Final = frozenset({"draft", "requested", "received"})
_DISMISSED: Final = frozenset({"cancelled", "entered-in-error"})
_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


@dataclass(frozen=True, slots=True)
class Scene:
    """What the resources of one patient's alerts share; `now` carries the clinic's offset."""

    patient: str
    now: datetime
    base: str = BASE

    def stamp(self) -> str:
        """Return the moment as an instant."""
        return self.now.isoformat(timespec="milliseconds")


def standing(issue: Json, task: Json | None, base: str = BASE) -> Standing | None:
    """Return what a DetectedIssue says of an alert; None for one that was not raised by a rule, or was held back."""
    told = next(
        (parts_of(each) for each in issue.get("extension", ()) if each.get("url") == profile(EVIDENCE, base)), None
    )
    period = issue.get("identifiedPeriod", {})
    if told is None or "held" in told or "start" not in period:
        return None
    status = issue.get("status")
    seen = status not in ("registered", "preliminary") or (task is not None and task.get("status") not in _OPEN_TASK)
    ended = "end" in period or status in _DISMISSED
    return Standing(issue["id"], str(told.get("evidence", "")), datetime.fromisoformat(period["start"]), ended, seen)


def raised(scene: Scene, rule: Rule, verdict: Verdict, sources: list[str]) -> Json:
    """Return the DetectedIssue of an alert; `sources` are the resources (Type/id) that it rests on."""
    return _issue(scene, rule, verdict, sources) | {
        "id": alert_id(rule.url, scene.patient, verdict.when),
        "status": "preliminary",
        "identifiedPeriod": {"start": scene.stamp()},
    }


def held(scene: Scene, rule: Rule, verdict: Verdict, sources: list[str], step: Step) -> Json:
    """Return what says that an alert would have been raised and why it was not."""
    made = _issue(scene, rule, verdict, sources)
    code = "suppressed-cooldown" if step.reason == COOLDOWN else "suppressed-override"
    made["extension"][0]["extension"].append({"url": "held", "valueCoding": _coding(actions(scene.base), code)})
    return made | {
        "id": suppressed_id(rule.url, scene.patient, step.alert),
        "status": "cancelled",
        "identifiedPeriod": {"start": scene.stamp(), "end": scene.stamp()},
    }


def ended(scene: Scene, issue: Json, covers: str = "") -> Json:
    """Return an alert whose condition is over; `covers` is newer evidence that it was about, too."""
    made = issue | {"identifiedPeriod": issue["identifiedPeriod"] | {"end": scene.stamp()}}
    if not covers:
        return made
    url = profile(EVIDENCE, scene.base)
    return made | {"extension": [_covering(e, covers) if e.get("url") == url else e for e in issue["extension"]]}


def _covering(extension: Json, covers: str) -> Json:
    """Return the extension with the newer of its evidence and another."""
    parts = [
        part | {"valueString": max(covers, str(part.get("valueString", "")))} if part["url"] == "evidence" else part
        for part in extension["extension"]
    ]
    return extension | {"extension": parts}


def _issue(scene: Scene, rule: Rule, verdict: Verdict, sources: list[str]) -> Json:
    facts: list[Json] = [{"url": "evidence", "valueString": verdict.when}]
    facts += [
        {"url": "criterion", "extension": _said(each, verdict.findings[each.name])} for each in rule.criteria
    ]  # fmt: skip
    made: Json = {
        "resourceType": "DetectedIssue",
        "meta": meta(scene.base, "alert"),
        "extension": [{"url": profile(EVIDENCE, scene.base), "extension": facts}],
        "code": concept(rule.reason),
        "severity": SEVERITY[rule.priority],
        "patient": {"reference": f"Patient/{scene.patient}"},
        "author": {"reference": f"Device/{device_id()}"},
        "detail": rule.title,
        "reference": rule.canonical,
    }
    if sources:
        made["implicated"] = [{"reference": name} for name in sources]
    return made


def _said(criterion: Criterion, found: Finding) -> list[Json]:
    """Return what a criterion said: outcome, number in a unit, limit, how many days were known, and why it is unknown."""
    outcome = {True: "true", False: "false", None: "unknown" if criterion.comparator or found.reason else "number"}
    parts: list[Json] = [
        {"url": "name", "valueCode": criterion.name},
        {"url": "outcome", "valueCode": outcome[found.holds]},
        {"url": "metric", "valueCode": criterion.metric.code},
        {"url": "of", "valueCode": criterion.of},
        {"url": "unit", "valueCode": criterion.unit},
    ]
    if found.number is not None:
        parts.append({"url": "number", "valueDecimal": round(found.number, 4)})
    if criterion.comparator:
        parts.append({"url": "limit", "valueString": f"{criterion.comparator} {criterion.shown}"})
    if found.asked:
        parts.append({"url": "known", "valueString": f"{found.known} of {found.asked}"})
    if found.reason:
        parts.append({"url": "reason", "valueString": REASONS.get(found.reason, found.reason)})
    return parts


def task(scene: Scene, rule: Rule, alert: str, owner: str) -> Json:
    """Return the Task of an alert for the first role; `owner` is a reference, "" when the team has nobody in that role."""
    made: Json = {
        "resourceType": "Task",
        "id": alert,
        "meta": meta(scene.base),
        "instantiatesCanonical": rule.canonical,
        "status": "requested",
        "intent": "order",
        "priority": rule.priority,
        "code": _own(scene.base, "review-alert"),
        "focus": {"reference": f"DetectedIssue/{alert}"},
        "for": {"reference": f"Patient/{scene.patient}"},
        "authoredOn": scene.stamp(),
        "requester": {"reference": f"Device/{device_id()}"},
        "reasonCode": concept(rule.reason),
    }
    if rule.roles:
        made["performerType"] = [concept(rule.roles[0])]
    return made | ({"owner": {"reference": owner}} if owner else {})


def passed_on(given: Json, role: Coding, owner: str) -> Json:
    """Return a Task that nobody has taken note of, for the next role too."""
    roles = [
        *given.get("performerType", ()),
        *([concept(role)] if concept(role) not in given.get("performerType", ()) else []),
    ]
    return given | {"performerType": roles} | ({"owner": {"reference": owner}} if owner else {})


def message(scene: Scene, rule: Rule, alert: str, step: int, recipient: str) -> Json:
    """Return the Communication to one recipient, to be sent: nothing in it but the reason class and where to look."""
    return {
        "resourceType": "Communication",
        "id": message_id(alert, step, recipient),
        "meta": meta(scene.base),
        "status": "preparation",
        "category": [{"coding": [_coding(messages.category(scene.base), "alert")]}],
        "priority": rule.priority,
        "subject": {"reference": f"Patient/{scene.patient}"},
        "about": [{"reference": f"DetectedIssue/{alert}"}, {"reference": f"Task/{alert}"}],
        "recipient": [{"reference": recipient}],
        "sender": {"reference": f"Device/{device_id()}"},
        "reasonCode": [_told(rule.reason, scene.base)],
        "payload": [{"contentString": rule.reason[2] or rule.reason[1]}],
    }


def provenance(
    scene: Scene, rule: Rule, alert: str, targets: list[tuple[str, int]], sources: list[str], plan: str
) -> Json:
    """Return who wrote the targets (Type/id, version) from what; `plan` is the rule's own reference, with its version."""
    entities = [*sources, plan]
    written = sorted(f"{name}/{version}" for name, version in targets)
    return {
        "resourceType": "Provenance",
        "id": provenance_id(alert, "\x1f".join(written)),
        "meta": meta(scene.base),
        "target": [{"reference": name} for name, _ in targets],
        "recorded": scene.stamp(),
        "policy": [rule.url],
        "agent": [
            {
                "type": {"coding": [{"system": _PARTICIPANT, "code": "assembler", "display": "Assembler"}]},
                "who": {"reference": f"Device/{device_id()}"},
            }
        ],
        "entity": [{"role": "source", "what": {"reference": name}} for name in entities],
    }


def software_device(version: str, base: str = BASE) -> Json:
    """Return the Device that stands for the rule engine; `version` is that of the code."""
    return {
        "resourceType": "Device",
        "id": device_id(),
        "meta": meta(base),
        "identifier": [{"system": f"{base}/NamingSystem/software", "value": device_id()}],
        "status": "active",
        "manufacturer": "Clarity",
        "deviceName": [{"name": "Clarity alert rules", "type": "model-name"}],
        "type": {"coding": [{"system": SNOMED, "code": "706687001", "display": "Software"}]},
        "version": [
            {"type": {"text": "engine"}, "value": ENGINE_VERSION},
            {"type": {"text": "code"}, "value": version},
        ],
        "note": [{"text": "Evaluates alert rules over the digital twin. Not a medical device and not a diagnosis."}],
    }


def meta(base: str, name: str = "") -> Json:
    """Return the meta of what the rule engine writes."""
    tag = {"system": origin(base), "code": "rules", "display": "Written by the alert rules"}
    return {"profile": [profile(name, base)], "tag": [tag]} if name else {"tag": [tag]}


def _told(reason: Coding, base: str) -> Json:
    """Return why a message is sent: the rule's own reason class, and the class that messages have words for."""
    kind = "device-alert" if reason[1] == _SILENCE else "clinical-alert"
    return {"coding": [_coding(*reason), _coding(messages.reason(base), kind)]}


def concept(coding: Coding) -> Json:
    """Return a CodeableConcept of one coding."""
    return {"coding": [_coding(*coding)]}


def _own(base: str, code: str) -> Json:
    return {"coding": [_coding(actions(base), code, ACTIONS[code])]}


def _coding(system: str, code: str, display: str = "") -> Mapping[str, Any]:
    made = {"system": system, "code": code} if system else {"code": code}
    return made | ({"display": display} if display else {})
