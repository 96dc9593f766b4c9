"""What a Consent says about one resource, worked out naively from the JSON: the oracle of the compiled condition.

Nothing is shared with `auth/consent`: three-valued (None: not understood), by recursion, resource by resource.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

LEVELS = "ULMNRV"
CONF = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
BELOW = {"SUD": {"ETHUD", "OPIOIDUD"}, "PSY": {"PSYTHPN"}}
UNREAD = ("dataPeriod", "modifierExtension")


def _or(values: list[bool | None]) -> bool | None:
    return True if True in values else None if None in values else False


def _and(values: list[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _actor(actor: dict[str, Any], asker: dict[str, Any]) -> bool | None:
    role = {c["code"] for c in actor["role"]["coding"]}
    reference = actor["reference"].get("reference")
    if reference is None or not role & {"PRCP", "IRCP"}:
        return None
    if reference in asker["names"]:
        return True
    type_ = reference.split("/")[0]
    if type_ in ("Group", "CareTeam") or (type_ == "Organization" and not asker["groups"]):
        return None
    return False


def _labels(wanted: list[dict[str, str]], resource: dict[str, Any]) -> bool | None:
    held = {(c["system"], c["code"]) for c in resource.get("meta", {}).get("security", [])}
    named = [w["code"] for w in wanted if w.get("system") == CONF]
    result: list[bool | None] = []
    if named:
        most = max(map(LEVELS.index, named))
        result.append(all(LEVELS.index(code) <= most for system, code in held if system == CONF))
    others = [w for w in wanted if w.get("system") != CONF]
    if others:
        found: list[bool | None] = []
        for w in others:
            if "system" not in w:
                found.append(None)
                continue
            codes = {w["code"], *(BELOW.get(w["code"], ()) if w["system"] == ACT else ())}
            found.append(any(system == w["system"] and code in codes for system, code in held))
        # a label without a system makes all of them a guess
        result.append(None if None in found else _or(found))
    return _and(result)


def _codes(wanted: list[dict[str, Any]], resource: dict[str, Any]) -> bool | None:
    if any("coding" not in w for w in wanted):
        return None
    said = [resource.get("code"), resource.get("type"), *resource.get("category", [])]
    held = {(c["system"], c["code"]) for concept in said if concept for c in concept["coding"]}
    return any((c["system"], c["code"]) in held for w in wanted for c in w["coding"])


def met(provision: dict[str, Any], resource: dict[str, Any], asker: dict[str, Any], now: datetime) -> bool | None:
    """Tell whether a provision speaks of this resource and this caller."""
    period = provision.get("period", {})
    if "start" in period and now < datetime.fromisoformat(period["start"]):
        return False
    if "end" in period and now >= datetime.fromisoformat(period["end"]):
        return False
    parts: list[bool | None] = [None for name in UNREAD if name in provision]
    if "actor" in provision:
        parts.append(_or([_actor(each, asker) for each in provision["actor"]]))
    if "action" in provision:
        known = {"collect", "access", "use", "disclose", "correct"}
        codes = [c["code"] for each in provision["action"] for c in each["coding"]]
        parts.append(_or([None if code not in known else code in asker["actions"] for code in codes]))
    if "purpose" in provision:
        parts.append(_or([c["code"] in asker["purposes"] for c in provision["purpose"]]))
    if "class" in provision:
        kinds = "http://hl7.org/fhir/resource-types"
        parts.append(
            _or([c["code"] == resource["resourceType"] if c["system"] == kinds else None for c in provision["class"]])
        )
    if "securityLabel" in provision:
        parts.append(_labels(provision["securityLabel"], resource))
    if "code" in provision:
        parts.append(_codes(provision["code"], resource))
    if "data" in provision:
        hits = [
            each["reference"]["reference"] == f"{resource['resourceType']}/{resource['id']}"
            for each in provision["data"]
        ]
        exact = all(each["meaning"] == "instance" for each in provision["data"])
        parts.append(_or([*hits]) if exact else None)
    return _and(parts)


def inside(provision: dict[str, Any], resource: dict[str, Any], asker: dict[str, Any], now: datetime, own: str) -> bool:
    """Tell whether it is permitted where the provision is met: deny of an exception wins, a doubtful permission is none."""
    opened = False
    for each in provision.get("provision", []):
        hit = met(each, resource, asker, now)
        if hit is False:
            continue
        allowed = inside(each, resource, asker, now, each["type"])
        if not allowed:
            return False
        opened = opened or hit is True
    return own == "permit" or opened


def permits(
    consent: dict[str, Any], resource: dict[str, Any], asker: dict[str, Any], now: datetime, silence: bool
) -> bool:
    """Tell whether the Consent lets the caller see the resource; `silence` is the answer where it says nothing."""
    root = consent.get("provision", {})
    bases = {"OPTIN": "permit", "OPTOUT": "deny"}
    base = next((bases[c["code"]] for c in consent.get("policyRule", {}).get("coding", []) if c["code"] in bases), None)
    own = root.get("type")
    period = {name: root[name] for name in ("period",) if name in root}
    if own is None and base is None:
        return False
    if met(period, resource, asker, now) is False:
        return silence
    hit = met(root, resource, asker, now)
    if own is not None:
        within = inside(root, resource, asker, now, own)
        beside = silence if base is None else base == "permit"
        return within and beside if hit is None else within if hit else beside
    if base == "permit":
        if "provision" not in root and set(root) - {"period"}:
            return hit is False
        within = inside(root, resource, asker, now, "permit")
        return within if hit is not False else True
    return hit is True and "provision" in root and inside(root, resource, asker, now, "deny")
