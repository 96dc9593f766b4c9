"""Tokens by `:text`: what their text or display begins with, and nothing else; `:text` in chains, and what has no text."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.errors import BadSearch, Unprocessable
from fhir_server.search import run
from tests.search.conftest import ids, load, page


def condition(id_: str, code: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": id_, "subject": {"reference": "Patient/p"}, "code": code}


@pytest.fixture(scope="session")
async def described(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_described")
    snomed = {"system": "http://snomed.info/sct", "code": "22298006"}
    await load(tenant, [
        condition("text", {"text": "Herzinfarkt, akut"}),
        condition("display", {"coding": [snomed | {"display": "Myocardial infarction"}]}),
        condition("both", {"text": "MI", "coding": [{"code": "x"}, snomed | {"display": "Héart attack"}]}),
        condition("bare", {"coding": [snomed]}),
        {"resourceType": "Patient", "id": "p", "identifier": [{"value": "1", "type": {"text": "Medical record"}}]},
    ])  # fmt: skip
    return tenant


TEXTS = {
    "myocardial": {"display"},
    "MYOCARDIAL  inf": {"display"},
    "infarction": set(),
    "herzinfarkt\\, akut": {"text"},
    "heart": {"both"},
    "mi": {"both"},
    "m": {"display", "both"},
    "22298006": set(),
    "myo,herz": {"text", "display"},
}


@pytest.mark.parametrize("asked", TEXTS)
async def test_what_a_text_begins_with(described: Any, asked: str) -> None:
    assert set(await ids(described, "Condition", f"code:text={asked}")) == TEXTS[asked]


async def test_identifiers_by_the_text_of_their_type_and_behind_a_chain(described: Any) -> None:
    assert await ids(described, "Patient", "identifier:text=medical") == ["p"]
    assert len(await ids(described, "Condition", "subject:Patient.identifier:text=medical")) == 4
    assert await ids(described, "Condition", "subject:Patient.identifier:text=record") == []


async def test_with_other_parameters_and_counted(described: Any) -> None:
    found = await page(described, "Condition", "code:text=m&code=22298006&_total=accurate&_count=1")
    assert (found.total, len(found.rows)) == (2, 1)


@pytest.mark.parametrize(
    "query", ["code:text=", "code:text= ", "clinical-status:text=,", "gender:text=m", "subject:text=x"]
)
async def test_what_has_no_text_is_refused(described: Any, query: str) -> None:
    with pytest.raises(BadSearch):
        await page(described, "Patient" if query.startswith("gender") else "Condition", query)


async def test_counting_looks_into_so_many_and_no_more(described: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LOOKS", 2)
    with pytest.raises(Unprocessable):
        await page(described, "Condition", "code:text=m&_summary=count")
