"""What XML has wrong is refused with its place and what to do; what JSON would refuse too is left to validation."""

from __future__ import annotations

import pytest

from fhir_server.errors import BadRequest
from fhir_server.kit import json
from fhir_server.model.xml.read import from_xml

NS = 'xmlns="http://hl7.org/fhir"'


def refused(text: str | bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        from_xml(text.encode() if isinstance(text, str) else text)
    return caught.value


def patient(inside: str, attributes: str = "") -> str:
    return f"<Patient {NS}{attributes}>{inside}</Patient>"


@pytest.mark.parametrize(
    ("inside", "issue", "place"),
    [
        ("<nonsense value='1'/>", "xml-element", "Patient"),
        ("<name><nonsense/></name>", "xml-element", "Patient.name[0]"),
        ("<name/>", "shape-empty", "Patient.name[0]"),
        ("<name><family value='a'/></name><name></name>", "shape-empty", "Patient.name[1]"),
        ("<active/>", "shape-empty", "Patient.active"),
        ("<active value='TRUE'/>", "shape-value", "Patient.active"),
        ("<active value='1'/>", "shape-value", "Patient.active"),
        ("<active value=' true'/>", "shape-value", "Patient.active"),
        ("<active valu='true'/>", "xml-attribute", "Patient.active"),
        ("<active value='true' xml:lang='en'/>", "xml-attribute", "Patient.active"),
        ("<active value='true' xmlns:f='http://hl7.org/fhir' f:value='true'/>", "xml-attribute", "Patient.active"),
        ("<name value='a'/>", "xml-attribute", "Patient.name[0]"),
        ("<active value='true'>yes</active>", "xml-text", "Patient.active"),
        ("hello <active value='true'/>", "xml-text", "Patient"),
        ("<active value='true'/>\u00a0", "xml-text", "Patient"),
        ("<active value='true'/><active value='true'/>", "shape-cardinality", "Patient.active"),
        ("<birthDate value='1970'/><active value='true'/>", "xml-order", "Patient.active"),
        (
            "<name><family value='a'/></name><active value='true'/><name><family value='b'/></name>",
            "xml-order",
            "Patient.active",
        ),
        ("<name><given value='a'/><family value='b'/></name>", "xml-order", "Patient.name[0].family"),
        ("<multipleBirthInteger value='1.0'/>", "shape-value", "Patient.multipleBirth.ofType(integer)"),
        ("<multipleBirth value='1'/>", "xml-element", "Patient"),
        ("<extension url='u' value='x'/>", "xml-attribute", "Patient.extension[0]"),
        (
            "<extension url='u'><valueDecimal value='.5'/></extension>",
            "shape-value",
            "Patient.extension[0].value.ofType(decimal)",
        ),
        (
            "<extension url='u'><valueDecimal value='1e999'/></extension>",
            "shape-value",
            "Patient.extension[0].value.ofType(decimal)",
        ),
        ("<contained/>", "shape-empty", "Patient.contained[0]"),
        ("<contained><Nonsense/></contained>", "xml-resource", "Patient.contained[0]"),
        ("<contained><Basic/><Basic/></contained>", "xml-repeated", "Patient.contained[0]"),
        ("<contained><Basic><nonsense/></Basic></contained>", "xml-element", "Patient.contained[0]"),
        ("<text><status value='generated'/><div>x</div></text>", "xml-element", "Patient.text"),
        ("<active xmlns='urn:other' value='true'/>", "xml-namespace", "Patient"),
        ("<active xmlns='' value='true'/>", "xml-namespace", "Patient"),
        ("<given xmlns='http://www.w3.org/1999/xhtml'/>", "xml-namespace", "Patient"),
    ],
)
def test_the_place_is_named(inside: str, issue: str, place: str) -> None:
    error = refused(patient(f"\n{inside}"))
    assert (error.issues[0].id, error.issues[0].expression) == (issue, place), error.issues
    assert "(line 2)" in error.text


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ("", "xml-syntax"),
        ("nonsense", "xml-syntax"),
        ("{}", "xml-syntax"),
        (patient("<active>"), "xml-syntax"),
        (patient("") + "<x/>", "xml-syntax"),
        (patient("<name>&nbsp;</name>"), "xml-syntax"),
        (patient("<active value='true' value='false'/>"), "xml-syntax"),
        (patient("<id value='\x01'/>"), "xml-syntax"),
        (patient("<id value='&#0;'/>"), "xml-syntax"),
        (patient("<x:id value='1'/>"), "xml-syntax"),
        (patient("<id value='\xff'/>").encode("latin-1"), "xml-utf8"),
        (("<?xml version='1.0' encoding='utf-16'?>" + patient("")).encode("utf-16"), "xml-encoding"),
        (patient("").encode("utf-16-le"), "xml-encoding"),
        (patient("").encode("utf-32"), "xml-encoding"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>" + patient(""), "xml-encoding"),
        ("<Patient/>", "xml-resource"),
        (f"<patient {NS}/>", "xml-resource"),
        (f"<Element {NS}/>", "xml-resource"),
        ("<Patient xmlns='http://hl7.org/fhir/R4'/>", "xml-resource"),
        (patient("", " id='a'"), "xml-attribute"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else None,
)
def test_documents_that_are_none(text: str | bytes, issue: str) -> None:
    assert refused(text).id == issue


def test_everything_wrong_is_listed_together() -> None:
    error = refused(patient("<x/>\n<active value='x'/>\n<y/>"))
    assert [issue.expression for issue in error.issues] == ["Patient", "Patient.active", "Patient"]
    assert error.text.endswith("And 2 more.")
    assert len(refused(patient("<x/>" * 1000)).issues) == 100


def test_an_entry_of_a_bundle_is_named() -> None:
    entry = "<entry><resource><Basic>%s</Basic></resource></entry>"
    inside = "<type value='batch'/>" + entry % "<id value='1'/>" + entry % "<code><x/></code>"
    error = refused(f"<Bundle {NS}>{inside}</Bundle>")
    assert error.issues[0].expression == "Bundle.entry[1].resource.code"


def test_what_is_no_content_is_left_out() -> None:
    """A BOM, the declaration, comments, processing instructions, prefixes, CDATA of blanks and the hint to a schema."""
    text = (
        "\ufeff<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\n<?xml-stylesheet href='x.xsl'?><!-- < & -->\n"
        "<f:Patient xmlns:f='http://hl7.org/fhir' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'"
        " xsi:schemaLocation='http://hl7.org/fhir http://169.254.169.254/x.xsd'>"
        "<!-- c --><f:id value='a'/><?php x?><![CDATA[ \n]]><f:active value='tr&#117;e'><!----></f:active>"
        "<contained xmlns='http://hl7.org/fhir'><Basic><id value='b'/></Basic></contained></f:Patient><!-- end -->"
    )
    error = refused(text)
    assert [issue.id for issue in error.issues] == ["xml-order"]
    ordered = text.replace("<f:active value='tr&#117;e'><!----></f:active>", "").replace(
        "</f:Patient>", "<f:active value='tr&#117;e'><!----></f:active></f:Patient>"
    )
    assert json.decode(from_xml(ordered.encode())) == {
        "resourceType": "Patient",
        "id": "a",
        "contained": [{"resourceType": "Basic", "id": "b"}],
        "active": True,
    }


@pytest.mark.parametrize("text", ["+5", "5", "-0", "0", "999999999999999999"])
def test_whole_numbers(text: str) -> None:
    read = json.decode(from_xml(patient(f"<multipleBirthInteger value='{text}'/>").encode()))
    assert read["multipleBirthInteger"] == int(text)


def test_a_narrative_that_leans_on_its_document_is_written_to_stand_alone() -> None:
    text = (
        f"<Patient {NS} xmlns:h='http://www.w3.org/1999/xhtml' xmlns:o='urn:o'><text><status value='generated'/>"
        "<h:div class='a&quot;b'><h:p>1 &lt; 2</h:p><h:br/><o:x o:y='1'/></h:div></text></Patient>"
    )
    read = json.decode(from_xml(text.encode()))
    assert read["text"]["div"] == (
        '<div xmlns="http://www.w3.org/1999/xhtml" class="a&quot;b"><p>1 &lt; 2</p><br/><x xmlns="urn:o" y="1"/></div>'
    )
