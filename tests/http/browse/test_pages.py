"""Every type of R4, filled with hostile text in every element, makes a page that only shows something."""

from __future__ import annotations

from decimal import Decimal
from itertools import cycle
from typing import Any

import pytest

from fhir_server.http.browse import pages
from fhir_server.http.browse.columns import MOST, chosen, label
from fhir_server.http.browse.markup import Html, el, is_safe, join
from fhir_server.http.browse.visit import Visit
from fhir_server.kit import json
from profiles.registry import R4, JsonChild
from tests.http.browse.inert import HOSTILE, assert_inert, tree

VISIT = Visit("http://clarity.test/fhir", "Patient/1", interaction="read", known=True, signed_in=True, explains=True)
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


class Hostile:
    """Makes resources in which every text is an attack, whatever its type may hold: validation is not in between."""

    def __init__(self) -> None:
        self._texts = cycle(HOSTILE)

    def value(self, child: JsonChild, depth: int) -> Any:
        if child.type_code in ("boolean", "integer", "positiveInt", "unsignedInt", "decimal"):
            return {"boolean": True, "decimal": Decimal("1.50")}.get(child.type_code, 1)
        if child.type_code == "xhtml":
            return XHTML.format(next(self._texts))
        if child.primitive:
            return next(self._texts)
        if child.path_of_type == "Resource":
            return {"resourceType": next(self._texts), "id": next(self._texts)}
        return self.filled(child.path_of_type, depth + 1)

    def filled(self, path: str, depth: int = 0) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, child in R4.json_children(path).items():
            if depth > 2 and not child.primitive:
                continue
            value = self.value(child, depth)
            out[name] = [value, value] if child.element.many else value
        return out


@pytest.mark.parametrize("type_", R4.types)
def test_hostile_resources(type_: str) -> None:
    for start in range(2):
        hostile = Hostile()
        for _ in range(start):
            hostile.filled("Patient")
        resource = {"resourceType": type_} | hostile.filled(type_)
        entry = {"fullUrl": "http://clarity.test/fhir/x", "resource": resource, "search": {"mode": "match"}}
        bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [entry, entry], "link": []}
        for visit, body in (
            (VISIT, resource),
            (Visit(VISIT.base, type_, interaction="search-type", known=True), bundle),
            (Visit(VISIT.base, type_, interaction="operation"), bundle | {"type": "history"}),
            (Visit(VISIT.base, "", interaction="batch"), bundle | {"type": "batch-response"}),
        ):
            assert_inert(pages.page(visit, json.encode(body)))
    assert_inert(pages.page(Visit(VISIT.base, "x", view="json", interaction="read"), json.encode(resource)))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_everything_else(text: str) -> None:
    """Addresses, parameters, issues, links, entries of a history, narratives."""
    visit = Visit(
        VISIT.base, f"Patient/{text}", params=[(text, text), ("name", text)], interaction="search-type", known=True,
        status=400, request_id=text, explains=True, signed_in=True,
    )  # fmt: skip
    issue = {
        "severity": text,
        "code": text,
        "details": {"text": text, "coding": [{"code": text}]},
        "expression": [text],
    }
    for status in (200, 400, 401, 404, 500):
        outcome = json.encode({"resourceType": "OperationOutcome", "issue": [issue, {"diagnostics": text}]})
        assert_inert(pages.page(Visit(**{**vars(visit), "status": status}), outcome))
    entry = {
        "fullUrl": text,
        "request": {"method": text, "url": text},
        "response": {
            "status": text,
            "location": text,
            "etag": text,
            "lastModified": text,
            "outcome": {"issue": [issue]},
        },
    }
    links = [{"relation": "next", "url": text}, {"relation": text, "url": f"{VISIT.base}?{text}"}]
    for kind in ("searchset", "history", "batch-response"):
        body = {"resourceType": "Bundle", "type": kind, "entry": [entry], "link": links}
        assert_inert(pages.page(Visit(VISIT.base, text, [(text, text)], interaction="search-type"), json.encode(body)))
    for div in (text, XHTML.format(text), f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{text}">x</a></div>'):
        resource = {"resourceType": "Patient", "id": "1", "text": {"div": div}}
        assert_inert(pages.page(VISIT, json.encode(resource)))


@pytest.mark.parametrize(
    ("inside", "shown"),
    [
        ("<p>a <b>b</b></p>", "<p>a <b>b</b></p>"),
        ("<p style='x' class='y' id='z' onclick='w' title='t'>a</p>", '<p title="t">a</p>'),
        ("<script>alert(1)</script><style>x</style>ok", "ok"),
        ("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script><text>x</text></svg>ok", "ok"),
        ("<a href='javascript:alert(1)'>x</a>", "<a>x</a>"),
        ("<a href=' javascript:alert(1)'>x</a>", "<a>x</a>"),
        ("<a href='java&#10;script:alert(1)'>x</a>", "<a>x</a>"),
        ("<a href='//evil.example'>x</a>", "<a>x</a>"),
        ("<a href='Patient/1'>x</a>", '<a href="/fhir/Patient/1">x</a>'),
        ("<a href='http://clarity.test/fhir/Patient/1'>x</a>", '<a href="/fhir/Patient/1">x</a>'),
        ("<a href='https://x.example/'>x</a>", '<a href="https://x.example/" rel="noreferrer noopener external">x</a>'),
        ("<img src='https://evil.example/x.png' alt='a&lt;b'/>", '<span class="dim">[image: a&lt;b]</span>'),
        ("<img src='data:image/svg+xml;base64,AAAA'/>", '<span class="dim">[image]</span>'),
        ("<img src='data:image/png;base64,AAAA' onerror='x'/>", '<img src="data:image/png;base64,AAAA" alt="">'),
        ("<form action='x'><input name='y'/>a</form>b", "b"),
        ("<unknown>a<p>b</p></unknown>", "a<p>b</p>"),
        ("<![CDATA[><script>alert(1)</script>]]>", "&gt;&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<?x ><script>alert(1)</script>?>a", "a"),
        ("<!--><script>alert(1)</script>-->a", "a"),
        ("a &lt;script&gt;", "a &lt;script&gt;"),
    ],
)
def test_narratives_are_built_anew(inside: str, shown: str) -> None:
    body = json.encode(
        {"resourceType": "Patient", "id": "1", "text": {"status": "generated", "div": XHTML.format(inside)}}
    )
    page = pages.page(VISIT, body).decode()
    assert f'<section class="narrative" aria-label="Narrative">{shown}</section>' in page
    assert_inert(page)


@pytest.mark.parametrize(
    "div",
    ["<div>", "text", '<!DOCTYPE d [<!ENTITY a "b">]><div>&a;</div>', 1, None, "<div>" + "x" * 500_000 + "</div>"],
)
def test_narratives_that_are_none_are_left_out(div: Any) -> None:
    page = pages.page(VISIT, json.encode({"resourceType": "Patient", "id": "1", "text": {"div": div}})).decode()
    assert "Narrative" not in [each.text for each in tree(page).findall(".//h2")]


def test_markup_escapes_by_default() -> None:
    assert el("p", "<b>", None, ["&", Html("<i>")], title='"') == '<p title="&quot;">&lt;b&gt;&amp;<i></p>'
    assert (
        el("a", "x", href="javascript:alert(1)", data_copy="1", hidden=True, open=False)
        == '<a data-copy="1" hidden>x</a>'
    )
    assert join("<", Html("<")) == "&lt;<"


@pytest.mark.parametrize(
    "address", ["/", "/fhir/x?y=%20", "#a", "?a=b", "https://x.example/", "mailto:a@b.example", "tel:+1"]
)
def test_addresses_that_lead_somewhere(address: str) -> None:
    assert is_safe(address)


@pytest.mark.parametrize(
    "address", ["", "//x", "/\\x", "javascript:x", "data:text/html,x", "x", "/a b", "/a\nb", "https://x/\\y", "ftp://x"]
)
def test_addresses_that_do_not(address: str) -> None:
    assert not is_safe(address)


def test_a_large_resource_is_cut_and_says_so() -> None:
    resource = {
        "resourceType": "ValueSet",
        "id": "1",
        "expansion": {"contains": [{"code": str(n)} for n in range(20_000)]},
    }
    page = pages.page(VISIT, json.encode(resource))
    assert len(page) < 1_000_000
    assert b"The rest is left out here" in page
    raw = pages.page(
        Visit(VISIT.base, "ValueSet/1", view="json", interaction="read"),
        json.encode(resource | {"text": "x" * 2_000_000}),
    )
    assert b"first 1000000 of" in raw


def test_columns_follow_from_the_tables() -> None:
    patients: list[dict[str, Any]] = [
        {"resourceType": "Patient", "name": [{"family": "A"}], "birthDate": "1970", "active": True, "photo": [{}]},
        {"resourceType": "Patient", "name": [{"family": "B"}], "birthDate": "1980", "deceasedBoolean": True},
    ]
    titles = [column.title for column in chosen("Patient", patients)]
    assert titles == ["active", "name", "birthDate", "deceased"]
    for type_ in R4.types:
        assert len(chosen(type_, [{"resourceType": type_} | Hostile().filled(type_)])) <= MOST
    assert label(VISIT, patients[0]) == "A"
    assert label(VISIT, {"resourceType": "Basic", "code": {"text": "x"}}) == "x"
    assert label(VISIT, {"resourceType": "Basic"}) == ""
    assert label(VISIT, {"resourceType": "none"}) == ""
