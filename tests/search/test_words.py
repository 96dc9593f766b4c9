"""_text and _content: words, phrases, AND, OR, NOT; what cannot be read is refused; the bound of looking holds."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.errors import BadSearch, Unprocessable
from fhir_server.search import run
from fhir_server.search.kinds import words
from tests.search.conftest import ids, load, page


def condition(id_: str, div: str, **more: Any) -> dict[str, Any]:
    text = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{div}</div>'}
    return {"resourceType": "Condition", "id": id_, "text": text, "subject": {"reference": "Patient/p"}, **more}


@pytest.fixture(scope="session")
async def clinic(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_words")
    await load(tenant, [
        condition("bone", "<p>Bone <b>metastases</b> of the spine</p>"),
        condition("liver", "Liver&#160;metastases, caf&#233;"),
        condition("lung", "<p class='liver'>Lung</p><p>metastases</p>", note=[{"text": "Seen by Dr. Bone"}]),
        condition("data", "x", evidence=[{"detail": [{"reference": "Observation/liver"}]}]),
        {"resourceType": "Condition", "id": "bare", "subject": {"reference": "Patient/p"}, "code": {"text": "Metastases"}},
    ])  # fmt: skip
    return tenant


TEXT = {
    "metastases": {"bone", "liver", "lung"},
    "METASTASES": {"bone", "liver", "lung"},
    "metastas": set(),
    "metast*": {"bone", "liver", "lung"},
    "(bone OR liver) and metastases": {"bone", "liver"},
    "bone liver": set(),
    "bone,liver": {"bone", "liver"},
    '"liver metastases"': {"liver"},
    '"metastases liver"': set(),
    "metastases NOT bone": {"liver", "lung"},
    "not metastases": {"data", "bare"},
    "metastases NOT (bone OR lung)": {"liver"},
    "cafe": {"liver"},
    "class": set(),
    "bare": set(),
}


@pytest.mark.parametrize("asked", TEXT)
async def test_words_of_the_narrative(clinic: Any, asked: str) -> None:
    assert set(await ids(clinic, "Condition", f"_text={asked}")) == TEXT[asked]


async def test_words_anywhere(clinic: Any) -> None:
    assert set(await ids(clinic, "Condition", "_content=bone")) == {"bone", "lung"}
    assert set(await ids(clinic, "Condition", "_content=metastases")) == {"bone", "liver", "lung", "bare"}
    assert set(await ids(clinic, "Condition", "_content=liver")) == {"liver", "data"}
    assert set(await ids(clinic, "Condition", "_content=liver&_text=liver")) == {"liver"}
    assert set(await ids(clinic, "Condition", "_content=bone&_id=lung")) == {"lung"}
    assert set(await ids(clinic, "Condition", "_text:missing=true")) == {"bare"}
    assert set(await ids(clinic, "Condition", "_text:missing=false")) == {"bone", "liver", "lung", "data"}
    assert await ids(clinic, "Condition", "_content:missing=true") == []
    assert set(await ids(clinic, "Condition", "_filter=_text co metastases and _content eq bone")) == {"bone", "lung"}


@pytest.mark.parametrize("text", ["(a", "a)", "AND", "a OR", "NOT", "()", "--", "(" * 40 + "a" + ")" * 40, "a " * 65])
async def test_what_cannot_be_read_is_refused(clinic: Any, text: str) -> None:
    with pytest.raises(BadSearch) as refused:
        await page(clinic, "Condition", f"_text={text}")
    assert refused.value.id == "search-value"


async def test_too_much_to_look_into_is_said_for_totals_and_a_page_goes_on(clinic: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "LOOKS", 2)
    with pytest.raises(Unprocessable) as refused:
        await page(clinic, "Condition", "_text=metastases&_total=accurate&_count=1")
    assert "narrow" in refused.value.text
    assert set(await ids(clinic, "Condition", "_text=lung")) == {"lung"}


def test_the_time_grows_with_the_text() -> None:
    hostile = {"text": {"div": "<div>" + "<" * 200_000 + "a" * 200_000 + "</div>"}}
    assert not words.accepts((words.parse("b", anywhere=False),), hostile)
    assert not words.accepts((words.parse("b", anywhere=True),), hostile)
