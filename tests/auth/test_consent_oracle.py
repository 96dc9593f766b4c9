"""The compiled condition of a Consent against a naive reading of its JSON, over generated Consents, resources and callers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.auth.consent.callers import Asker
from fhir_server.auth.consent.compiled import MOST_GRANTS, Question, permitted
from fhir_server.auth.consent.rules import rules_of
from fhir_server.kit import clock
from fhir_server.search.extract import extract
from fhir_server.storage.visibility import Grant, Visibility
from tests.auth import naive_consent
from tests.auth.naive_consent import ACT, CONF

SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
RIDS = {("Observation", "o1"): 101, ("Condition", "c1"): 102}
NAMES = ["Practitioner/a", "Practitioner/b", "Organization/x", "Organization/y", "Patient/p", "CareTeam/t"]

conf = st.sampled_from("NRV").map(lambda code: {"system": CONF, "code": code})
sensitive = st.sampled_from(["PSY", "PSYTHPN", "SUD", "ETHUD", "HIV"]).map(lambda code: {"system": ACT, "code": code})
codes = st.sampled_from([(SNOMED, "1"), (LOINC, "2")]).map(lambda c: {"coding": [{"system": c[0], "code": c[1]}]})


def coding(system: str, *values: str) -> Any:
    return st.sampled_from(values).map(lambda code: {"system": system, "code": code})


def one_or_two(of: Any) -> Any:
    return st.lists(of, min_size=1, max_size=2)


actors = st.builds(
    lambda role, reference: {"role": {"coding": [{"code": role}]}, "reference": {"reference": reference} if reference else {}},
    st.sampled_from(["IRCP", "PRCP", "AUT"]), st.sampled_from([*NAMES, ""]),
)  # fmt: skip
data = st.builds(
    lambda meaning, reference: {"meaning": meaning, "reference": {"reference": reference}},
    st.sampled_from(["instance", "instance", "related"]), st.sampled_from(["Observation/o1", "Condition/c1", "Condition/no"]),
)  # fmt: skip
CONDITIONS = {
    "period": st.sampled_from([
        {"end": "2000-01-01T00:00:00+00:00"}, {"start": "2000-01-01T00:00:00+00:00"}, {"start": "9000-01-01T00:00:00+00:00"},
    ]),
    "actor": one_or_two(actors),
    "action": one_or_two(
        coding("http://terminology.hl7.org/CodeSystem/consentaction", "access", "disclose", "correct", "collect", "odd").map(
            lambda c: {"coding": [c]}
        )
    ),
    "purpose": one_or_two(coding("http://terminology.hl7.org/CodeSystem/v3-ActReason", "TREAT", "HRESCH", "PATRQT")),
    "class": one_or_two(
        st.one_of(coding("http://hl7.org/fhir/resource-types", "Observation", "Condition"), coding("urn:docs", "x"))
    ),
    "securityLabel": one_or_two(st.one_of(conf, sensitive, st.just({"code": "HIV"}))),
    "code": one_or_two(st.one_of(codes, codes, st.just({"text": "words"}))),
    "data": one_or_two(data),
    "dataPeriod": st.just({"start": "2020-01-01"}),
}  # fmt: skip
kinds = st.sampled_from(["permit", "deny"])


@st.composite
def conditions(draw: Any, most: int = 3) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(CONDITIONS)), max_size=most, unique=True))
    return {name: draw(CONDITIONS[name]) for name in names}


nested = st.recursive(
    st.builds(lambda kind, said: {"type": kind, **said}, kinds, conditions()),
    lambda below: st.builds(
        lambda kind, said, inner: {"type": kind, **said, "provision": inner}, kinds, conditions(2), one_or_two(below)
    ),
    max_leaves=5,
)
consents = st.builds(
    lambda rule, kind, said, inner: {
        "resourceType": "Consent", "status": "active",
        **({"policyRule": {"coding": [{"code": rule}]}} if rule else {}),
        "provision": {**({"type": kind} if kind else {}), **said, **({"provision": inner} if inner else {})},
    },
    st.sampled_from(["OPTIN", "OPTOUT", None]), st.one_of(kinds, st.none()), conditions(2), st.lists(nested, max_size=3),
)  # fmt: skip
resources = st.builds(
    lambda name, labels, code: {
        "resourceType": name[0], "id": name[1], "subject": {"reference": "Patient/p"}, "code": code,
        **({"meta": {"security": labels}} if labels else {}),
    },
    st.sampled_from([("Observation", "o1"), ("Observation", "o2"), ("Condition", "c1"), ("Condition", "c2")]),
    st.lists(st.one_of(conf, sensitive), max_size=2), codes,
)  # fmt: skip
askers = st.sampled_from([
    Asker(frozenset({"Practitioner/a", "Organization/x"}), True, frozenset({"TREAT", "PurposeOfUse"})),
    Asker(frozenset({"Practitioner/b"}), False, frozenset({"TREAT", "PurposeOfUse"})),
    Asker(frozenset(), False, frozenset({"TREAT", "PurposeOfUse"})),
    Asker(frozenset({"Patient/q"}), True, frozenset({"PATRQT", "PurposeOfUse"}), "q"),
])  # fmt: skip


def run(coroutine: Any) -> Any:
    """Drive what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


async def rid_of(type_: str, id_: str) -> int | None:
    return RIDS.get((type_, id_))


def shows(visibility: Visibility, keys: frozenset[int], rid: int) -> bool:
    """What the SQL would: rids included."""

    def one(grant: Grant) -> bool:
        if (grant.rids and rid not in grant.rids) or rid in grant.not_rids:
            return False
        return Grant(grant.all_of, grant.none_of, grant.any_of).admits(keys)

    return any(one(grant) for grant in visibility)


@pytest.mark.parametrize("interaction", ["read", "update"])
@pytest.mark.parametrize("silence", [True, False])
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(consent=consents, resource=resources, who=askers)
def test_the_condition_says_what_the_consent_says(tenant, interaction, silence, consent, resource, who):
    question = Question(tenant, who, resource["resourceType"], interaction, rid_of)
    rules = rules_of(consent, tenant.base)
    assert rules is not None
    made = run(permitted(question, rules, otherwise=silence))
    assert len(made) <= MOST_GRANTS
    keys = frozenset(extract(tenant, resource).keys)
    rid = RIDS.get((resource["resourceType"], resource["id"]), 999)
    caller = {
        "names": who.names, "groups": who.groups, "purposes": who.purposes,
        "actions": {"access", "use", "disclose"} if interaction == "read" else {"access", "use", "correct"},
    }  # fmt: skip
    expected = naive_consent.permits(consent, resource, caller, clock.now(), silence)
    assert shows(made, keys, rid) == expected
