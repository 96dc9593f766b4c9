"""Real resources for the 36-request loop: one of each of its nine types out of Synthea, of about the sizes it states."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir_server.kit import json

TYPES = (
    "Location",
    "Organization",
    "Practitioner",
    "Patient",
    "Encounter",
    "Observation",
    "MedicationRequest",
    "Claim",
    "ExplanationOfBenefit",
)
SIZES = {"Patient": 4700, "Observation": 1100, "Encounter": 1900, "Claim": 1400, "ExplanationOfBenefit": 7800}
_BUNDLES = 12  # Synthea's bundles are alike: a dozen hold a resource near every size


def seeds(folder: Path) -> dict[str, bytes]:
    """Return a template of each type: `@Type@` stands for the id of the one that the loop made before."""
    best: dict[str, tuple[int, dict[str, Any]]] = {}
    for resource in _resources(folder):
        kind = resource["resourceType"]
        if kind in TYPES:
            distance = abs(len(json.encode(resource)) - SIZES.get(kind, 1000))
            if kind not in best or distance < best[kind][0]:
                best[kind] = (distance, resource)
    return {kind: json.encode(_template(best[kind][1])) for kind in TYPES}


def _resources(folder: Path) -> Iterator[dict[str, Any]]:
    files = sorted(folder.glob("*.bz2"))
    small = sorted(files[2:], key=lambda file: file.stat().st_size)[:_BUNDLES]
    for file in [*files[:2], *small]:
        for entry in json.decode_trusted(bz2.decompress(file.read_bytes()))["entry"]:
            yield entry["resource"]


def _template(resource: dict[str, Any]) -> dict[str, Any]:
    patched: dict[str, Any] = _patched(resource, _made_before(resource["resourceType"]))
    return {name: value for name, value in patched.items() if name not in ("id", "contained")}


_SUBJECTS = {
    "subject": "Patient",
    "patient": "Patient",
    "beneficiary": "Patient",
    "encounter": "Encounter",
    "provider": "Practitioner",
    "requester": "Practitioner",
    "individual": "Practitioner",
    "managingOrganization": "Organization",
    "serviceProvider": "Organization",
    "location": "Location",
    "claim": "Claim",
}


def _made_before(kind: str) -> set[str]:
    """Return the types that the loop has made before it comes to this one."""
    return set(TYPES[: TYPES.index(kind)])


def _patched(value: Any, made: set[str], name: str = "") -> Any:
    """Return the value with every reference pointing to what the loop made, or keeping only its display."""
    if isinstance(value, list):
        return [_patched(item, made, name) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("reference"), str):
        kind = _SUBJECTS.get(name)
        if kind in made:
            return {**value, "reference": f"{kind}/@{kind}@"}
        return {"display": value.get("display", "not in the loop")}
    return {key: _patched(item, made, key) for key, item in value.items()}
