"""What `python -m tests.mutation` found that no test noticed, each small."""

from __future__ import annotations

import pytest

from fhir_server.auth import labels
from fhir_server.auth.consent import callers
from fhir_server.auth.consent.rules import rules_of
from fhir_server.auth.labels import CONFIDENTIALITY
from fhir_server.storage.visibility import Grant, Through, outside
from tests.auth.test_consent import consent, end_all, ended, seen
from tests.auth.test_labels import made
from tests.http.client import observation

__all__ = ["ended"]
CODED = {"type": "deny", "code": [{"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}]}
LATER = {"type": "deny", "period": {"start": "2099-01-01"}}


async def test_a_level_that_nobody_knows_permits_nothing(system, tenant):
    patient = await made(system, {"resourceType": "Patient"})
    id_ = await made(system, observation(subject={"reference": f"Patient/{patient}"}))
    levels = [{"system": CONFIDENTIALITY, "code": code} for code in ("N", "X")]
    for said, shown in (([levels[1]], False), ([levels[0]], True)):
        await made(system, consent(patient, type="deny", provision=[{"type": "permit", "securityLabel": said}]))
        assert (await system.get(f"Observation/{id_}")).status == (200 if shown else 404), said
        await end_all(tenant)


async def test_a_consent_of_nobody_denies_nobody(system):
    """R4 lets the patient be left out."""
    nobody = consent("x", "OPTOUT")
    del nobody["patient"]
    await made(system, nobody)
    patient = await made(system, {"resourceType": "Patient"})
    id_ = await made(system, observation(subject={"reference": f"Patient/{patient}"}))
    assert await seen(system, id_) == [True]


@pytest.mark.parametrize(
    ("provision", "typed"), [(CODED, True), ({"type": "permit", "provision": [LATER, CODED]}, True), (LATER, False)]
)
def test_what_names_codes_depends_on_the_type(provision, typed):
    rules = rules_of(consent("p") | {"provision": provision}, "http://x/fhir")
    assert rules is not None
    assert rules.typed is typed


def test_what_rows_refer_to_has_no_opposite():
    with pytest.raises(ValueError, match="no opposite"):
        outside((Grant(through=(Through(1, ()),)),))


def test_of_two_levels_the_higher_counts(tenant):
    keys = [labels.label_key(tenant, CONFIDENTIALITY, code) for code in ("L", "R")]
    assert labels.LEVELS[labels._level(tenant, frozenset(keys))] == "R"


async def test_only_a_patient_is_a_patient(system, tenant):
    person = await made(system, {"resourceType": "Patient"})
    related = await made(system, {"resourceType": "RelatedPerson", "patient": {"reference": f"Patient/{person}"}})
    for user, patient in ((f"Patient/{person}", person), (f"RelatedPerson/{related}", None)):
        found = await callers._look(tenant, user)
        assert (found.patient, found.groups) == (patient, True)
    device = await callers._look(tenant, f"Device/{person}")
    assert (device.patient, device.groups) == (None, False)


async def test_who_belongs_to_one_organization_belongs_to_no_other(system, tenant, monkeypatch):
    """And what somebody belongs to is asked again when it is time."""
    doctor = await made(system, {"resourceType": "Practitioner"})
    who = f"Practitioner/{doctor}"
    assert not (await callers._look(tenant, who)).groups
    organization = await made(system, {"resourceType": "Organization", "name": "Ward"})
    monkeypatch.setattr(callers, "SECONDS", 0.0)
    principal = type("P", (), {"user": who})()
    before = await callers.asker(tenant, principal)
    role = {"practitioner": {"reference": who}, "organization": {"reference": f"Organization/{organization}"}}
    await made(system, {"resourceType": "PractitionerRole", **role})
    after = await callers.asker(tenant, principal)
    assert not before.groups
    assert after.groups
    assert f"Organization/{organization}" in after.names
