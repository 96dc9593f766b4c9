"""Values made to hurt: each is answered or refused with a reason, and none takes long or fails otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.errors import FhirError
from tests.search.conftest import load, page

MANY = 10_000
LONG = "a" * 100_000
HOSTILE = [
    ("Patient", "name:contains=" + LONG),
    ("Patient", "name:contains=" + "ab" * 5_000),
    ("Patient", "name=" + ",".join(f"n{n}" for n in range(MANY))),
    ("Patient", "name:contains=" + ",".join(f"name{n}" for n in range(1_900))),
    ("Patient", "name:contains=%_%_%_%_\\%"),
    ("Patient", "name:exact=' OR 1=1 --"),
    ("Patient", "name:contains=(a+)+$" + "a" * 50),
    ("Patient", "name:contains=\u0301"),
    ("Patient", "name:contains=" + "e\u0301" * 20_000),
    ("Patient", "name=" + "\\," * 50_000),
    ("Patient", "identifier=" + "|" * 50_000),
    ("Patient", "identifier:of-type=" + "a|" * 50_000),
    ("Patient", "birthdate=ap0001"),
    ("Patient", "birthdate=ap9999-12-31T23:59:59.999999Z"),
    ("Patient", "birthdate=0000"),
    ("Patient", "birthdate=99999"),
    ("Patient", "birthdate=2020-02-30"),
    ("Patient", "birthdate=2020-01-01T25:00:00Z"),
    ("Patient", "birthdate=2020-01-01T10:00:00+99:99"),
    ("Patient", "birthdate=2020-01-01T10:00:00." + "9" * 1_000 + "Z"),
    ("Patient", "birthdate=" + "9" * 100_000),
    ("Patient", "birthdate=" + ",".join(["ne2020"] * 1_900)),
    ("Patient", "_lastUpdated=ap0001"),
    ("Patient", "_lastUpdated=ap9999"),
    ("RiskAssessment", "probability=1e9999999999"),
    ("RiskAssessment", "probability=ap1e-999"),
    ("RiskAssessment", "probability=" + "9" * 10_000),
    ("RiskAssessment", "probability=ne1e300"),
    ("RiskAssessment", "probability=NaN"),
    ("RiskAssessment", "probability=gtInfinity"),
    ("RiskAssessment", "probability=\u0661"),
    ("Observation", "value-quantity=1e300|http://unitsofmeasure.org|km"),
    ("Observation", "value-quantity=1|http://unitsofmeasure.org|" + "m." * 5_000 + "m"),
    ("Observation", "value-quantity=1|http://unitsofmeasure.org|" + "(" * 5_000),
    ("Observation", "value-quantity=1|http://unitsofmeasure.org|m99999999999"),
    ("Observation", "value-quantity=ap1e18|http://unitsofmeasure.org|Ym10"),
    ("Observation", "code:in=" + LONG),
    ("Observation", "code:in=" + ",".join(f"http://x/{n}" for n in range(1_900))),
    ("Observation", "code:below=" + LONG + "|" + LONG),
    ("Observation", "code:not=" + ",".join(f"c{n}" for n in range(1_900))),
    ("Observation", "_profile:below=http://" + "a/" * 50_000),
    ("Observation", "_profile:above=http://" + "/" * 20),
    ("Observation", "_profile:above=" + "a" * 50_000 + "://"),
    ("Observation", "subject:identifier=" + "|" * 1_000),
    ("Observation", "subject=" + ",".join(f"Patient/{n}" for n in range(MANY))),
    ("Encounter", "location:below=" + ",".join(f"Location/{n}" for n in range(1_900))),
    ("Observation", "_text=" + "(" * 50_000),
    ("Observation", "_text=" + "not " * 60 + "x"),
    ("Observation", "_content=" + '"' * 50_000),
    ("Location", "near=" + "|" * 1_000),
    ("Location", "near=1e-300|1e-300|1e300|m"),
    ("Location", "near=90|180|0|km"),
    ("Observation", "code=\ud800"),
    ("Observation", "code:in=\x00"),
    ("Observation", ":missing=true"),
    ("Observation", "code:=1"),
    ("Observation", "code:not:not=1"),
    ("Observation", "code:missing=true,false"),
]


@pytest.fixture(scope="session")
async def target(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_hostile")
    await load(tenant, [
        {"resourceType": "Patient", "id": "p", "name": [{"family": "aaaa" * 60, "given": ["e\u0301"]}], "birthDate": "2020-02-29"},
        {"resourceType": "Organization", "id": "o", "name": "x" * 5_000},
        {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}},
    ])  # fmt: skip
    return tenant


async def answer(tenant: Any, type_: str, query: str) -> FhirError | None:
    """Return why a search was refused, None when it was answered."""
    try:
        found = await page(tenant, type_, query)
    except FhirError as refused:
        return refused
    assert len(found.rows) <= 1
    return None


@pytest.mark.parametrize("at", range(len(HOSTILE)))
async def test_hostile_values(target: Any, at: int) -> None:
    type_, query = HOSTILE[at]
    async with asyncio.timeout(120):
        refused = await answer(target, type_, query)
    if refused is not None:
        assert 400 <= refused.status < 500
        assert len(refused.text) < 1_000
        assert LONG not in refused.text
