"""JSON to XML to JSON is the identity: over R4's own examples, over every element of R4, and over any text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from fhir_server.kit import json
from fhir_server.model.xml.read import from_xml
from fhir_server.model.xml.write import pieces, to_xml
from profiles.registry import R4, JsonChild
from tests.model.xml.suite import difference, exact
from tests.r4_examples import all_files, examples


def back(resource: dict[str, Any]) -> dict[str, Any]:
    return json.decode(from_xml(to_xml(json.encode(resource))))  # type: ignore[no-any-return]


def test_the_examples_come_back_equal() -> None:
    found = {name: difference(text) for name, text in examples().items()}
    assert {name: reason for name, reason in found.items() if reason} == {}
    assert len(found) == 734


@pytest.mark.slow
def test_the_whole_package_comes_back_equal() -> None:
    """Definitions and Bundles of up to 35 MB too."""
    found = {name: difference(text) for name, text in all_files()}
    assert {name: reason for name, reason in found.items() if reason} == {}
    assert len(found) == 5305


SAMPLES: dict[str, Any] = {
    "boolean": False,
    "integer": -3,
    "positiveInt": 3,
    "unsignedInt": 0,
    "decimal": Decimal("1.50"),
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}


def sample(child: JsonChild, depth: int) -> Any:
    """A value for an element, with everything that may stand below it; a type inside itself is cut short."""
    if child.primitive:
        return SAMPLES.get(child.type_code, "text")
    if child.path_of_type == "Resource":
        return {"resourceType": "Basic", "id": "b"}
    return filled(child.path_of_type, depth + 1)


def filled(path: str, depth: int = 0) -> dict[str, Any]:
    out: dict[str, Any] = {}
    chosen = set()
    for name, child in R4.json_children(path).items():
        if child.element.path in chosen or (depth and not child.primitive and depth > 2):
            continue
        chosen.add(child.element.path)
        value = sample(child, depth)
        out[name] = [value, value] if child.element.many else value
        if child.extensible:
            beside = {"id": "i", "extension": [{"url": "urn:e", "valueDecimal": Decimal("0.10")}]}
            out[f"_{name}"] = [None, beside] if child.element.many else beside
    return out or {"id": "x"}


@pytest.mark.parametrize("type_", R4.types)
def test_every_element_of_every_type(type_: str) -> None:
    resource = {"resourceType": type_} | filled(type_)
    assert exact(back(resource)) == exact(resource)


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), "\ufffe", "\uffff"])
    | st.sampled_from("\t\n\r&<>\"' "),
    min_size=1,
)


@given(texts)
def test_any_text(text: str) -> None:
    resource = {
        "resourceType": "Basic",
        "code": {"text": text},
        "extension": [{"url": text, "id": text, "valueString": text}],
    }
    assert back(resource) == resource


@pytest.mark.parametrize(
    "number", ["1.00", "-0.50", "100", "0.000000001", "1E-7", "1.5e+10", "0", "123456789012345678.90"]
)
def test_decimals_keep_their_digits(number: str) -> None:
    text = b'{"resourceType":"Observation","valueQuantity":{"value":%b}}' % number.encode()
    written = to_xml(text).decode()
    assert f'<value value="{number}"/>' in written
    assert from_xml(written.encode()) == text


@pytest.mark.parametrize(
    "names",
    [
        {"given": [None, "b"], "_given": [{"extension": [{"url": "u", "valueCode": "x"}]}, None]},
        {"given": ["a", "b", "c"], "_given": [None, {"id": "i"}, None]},
        {"_given": [{"id": "i"}, {"extension": [{"url": "u", "valueCode": "x"}]}]},
        {"family": "f", "_family": {"id": "i"}},
        {"_family": {"extension": [{"url": "u", "valueCode": "x"}]}},
    ],
)
def test_ids_and_extensions_of_primitives(names: dict[str, Any]) -> None:
    resource = {"resourceType": "Patient", "name": [names]}
    assert back(resource) == resource


@pytest.mark.parametrize(
    "div",
    [
        '<div xmlns="http://www.w3.org/1999/xhtml"><p title=\'a "b" > c\'>1 &lt; 2 &#160;</p><br /><br></br><img src="#a"/></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml">\r\n\t<!-- a comment --> é 😀 <b/>\n</div>',
        '<div lang="en" xml:lang="en" xmlns="http://www.w3.org/1999/xhtml"><div>inner</div></div>',
        "<div xmlns='http://www.w3.org/1999/xhtml'>x</div >",
    ],
)
def test_a_narrative_stays_as_it_was_written(div: str) -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": div}, "active": True}
    assert back(resource) == resource


def test_xml_is_well_formed_ordered_and_in_the_namespace() -> None:
    """Whatever order JSON has, XML has R4's; what XML cannot write becomes U+FFFD."""
    written = to_xml(
        b'{"birthDate":"1970","resourceType":"Patient","active":true,"id":"a","name":[{"text":"\\uffff\\u0001"}]}'
    )
    root = etree.fromstring(written)
    assert [etree.QName(child).localname for child in root] == ["id", "active", "name", "birthDate"]
    assert {etree.QName(child).namespace for child in root.iter()} == {"http://hl7.org/fhir"}
    assert root[2][0].get("value") == "\ufffd\ufffd"


def test_a_large_bundle_is_written_and_read_entry_by_entry() -> None:
    entries = [{"fullUrl": f"urn:x:{n}", "resource": {"resourceType": "Basic", "id": str(n)}} for n in range(2000)]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "collection", "total": 3, "entry": entries}
    bundle |= {"signature": {"type": [{"code": "x"}], "when": "2026-01-01T00:00:00Z", "who": {"display": "w"}}}
    text = json.encode(bundle)
    written = list(pieces(text))
    assert len(written) > 2000
    assert from_xml(b"".join(written)) == text
    assert from_xml(to_xml(text, pretty=True)) == text
