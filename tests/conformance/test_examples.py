"""The example instances of R4 go in and come out equal, but for id, meta and what the server owns."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.kit import json
from tests.http.client import Caller
from tests.model.xml.suite import exact
from tests.r4_examples import DEFINITIONS, all_files, examples

OWNED = {"Subscription": {"status"}}
"""What the server decides, whatever a client writes."""

APPEND_ONLY = "AuditEvent/"
"""What is never changed is not put under an id of the client's either: it is posted."""

BREAK_R4 = {
    "DeviceMetric-example.json": "shape-reference-target",  # parent is a DeviceDefinition where R4 has Reference(Device)
    "DeviceUseStatement-example.json": "shape-reference-target",  # reasonReference to a Procedure
    "MedicationRequest-medrx0301.json": "shape-reference-target",  # dispenseRequest.performer is a Practitioner
    "Observation-clinical-gender.json": "shape-reference-target",  # performer is an Encounter
    "Questionnaire-qs1.json": "shape-required",  # items without linkId
}
"""Examples that break a rule of R4 themselves: refused, with this issue."""

BREAK_R4_TOO = {"ImplementationGuide-fhir.json": "shape-required"}
"""No name, no status, and references that are no references."""


def without_owned(resource: dict[str, Any]) -> dict[str, Any]:
    left = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    for name in OWNED.get(resource["resourceType"], ()):
        left.pop(name, None)
    return left | ({"meta": meta} if meta else {})


async def keep(fresh: Caller, text: bytes) -> str | None:
    """Put an example and read it back; return the issue when it is refused, `different` when it comes back changed."""
    resource = json.decode(text)
    name = f"{resource['resourceType']}/{resource['id']}"
    if name.startswith(APPEND_ONLY):
        answer = await fresh.post(resource["resourceType"], text)
    else:
        answer = await fresh.put(name, text)
    if answer.status not in (200, 201):
        return answer.issue
    read = await fresh.get(
        f"{resource['resourceType']}/{answer.id}", accept="application/fhir+json"
    )  # a Binary is itself else
    stored = json.decode(read.text.encode())
    return None if exact(without_owned(stored)) == exact(without_owned(resource)) else "different"


async def test_examples_go_in_and_come_out(fresh: Caller) -> None:
    """All but the largest: the 727 instances without those, and CapabilityStatements and the like of the same package."""
    kept = {file: await keep(fresh, text) for file, text in examples().items()}
    assert {file: issue for file, issue in kept.items() if issue} == BREAK_R4
    assert len(kept) == 734


@pytest.mark.slow
async def test_the_largest_go_in_and_come_out(fresh: Caller) -> None:
    """Bundles of definitions of up to 35 MB, each as one resource."""
    large = [(file, text) for file, text in all_files() if file not in examples() and not file.startswith(DEFINITIONS)]
    kept = {file: await keep(fresh, text) for file, text in large}
    assert {file: issue for file, issue in kept.items() if issue} == BREAK_R4_TOO
    assert len(kept) == 11
