"""What is wrong with a resource is said, all of it, with id, status and FHIRPath expression; and nothing else happens."""

import json as stdlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from fhir_server.errors import BadRequest, FhirError, Issue
from fhir_server.validation.explain import MAX_ISSUES
from fhir_server.validation.validate import parse_resource, validate

CODE = {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": CODE,
    "subject": {"reference": "Patient/1"},
    "effectiveDateTime": "2020-02-29T10:00:00Z",
    "component": [{"code": CODE, "valueInteger": 1}, {"code": CODE, "valueString": "x"}, {"code": CODE}],
}
CONDITION: dict[str, Any] = {
    "resourceType": "Condition",
    "subject": {"reference": "Patient/1"},
    "clinicalStatus": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
    },
}
PATIENT: dict[str, Any] = {"resourceType": "Patient", "name": [{"given": ["a", "b"]}], "birthDate": "1970-01-01"}

BASES = {resource["resourceType"]: resource for resource in (OBSERVATION, CONDITION, PATIENT)}
DELETE = "$delete"
# Rows of name, type of the base, changes to it by path; for what is refused also id, expression and status.
CASES: dict[str, list[Any]] = stdlib.loads(Path(__file__).with_name("cases.json").read_bytes())


def changed(resource: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with values put at dotted paths; numbers are positions."""
    copy = deepcopy(resource)
    for path, value in changes.items():
        *steps, last = [int(s) if s.isdigit() else s for s in path.split("/")]
        holder: Any = copy
        for step in steps:
            holder = holder[step]
        if value == DELETE:
            del holder[last]
        else:
            holder[last] = value
    return copy


@pytest.mark.parametrize(
    ("base", "changes", "id_", "expression", "status"),
    [c[1:] for c in CASES["refused"]],
    ids=[c[0] for c in CASES["refused"]],
)
def test_a_refusal_names_what_and_where(
    base: str, changes: dict[str, Any], id_: str, expression: str | None, status: int
) -> None:
    resource = changed(BASES[base], changes)
    with pytest.raises(FhirError) as caught:
        parse_resource(stdlib.dumps(resource).encode())
    error = caught.value
    assert (id_, expression) in [(issue.id, issue.expression) for issue in error.issues]
    assert error.status == status
    assert all(issue.text.endswith((".", "?")) for issue in error.issues)


@pytest.mark.parametrize(("base", "changes"), [c[1:] for c in CASES["accepted"]], ids=[c[0] for c in CASES["accepted"]])
def test_rare_but_legal(base: str, changes: dict[str, Any]) -> None:
    resource = changed(BASES[base], changes)
    assert parse_resource(stdlib.dumps(resource).encode()) == resource
    assert validate(resource) == []


def issues_of(resource: dict[str, Any]) -> list[Issue]:
    with pytest.raises(FhirError) as caught:
        parse_resource(stdlib.dumps(resource).encode())
    return caught.value.issues


def test_all_issues_are_listed_in_order() -> None:
    resource = changed(
        OBSERVATION, {"status": "x", "component/0/valueInteger": "1", "component/2/code": DELETE, "z": 1}
    )
    resource["component"][2]["valueTime"] = "10:00"
    assert [issue.expression for issue in issues_of(resource)] == [
        "Observation.status",
        "Observation.z",
        "Observation.component[0].value.ofType(integer)",
        "Observation.component[2].value.ofType(time)",
        "Observation.component[2].code",
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"statu": "final"}, "'status'"),
        ({"Status": "final"}, "'status'"),
        ({"effectivedatetime": "2020"}, "'effectiveDateTime'"),
        ({"value": 1}, "valueQuantity or valueCodeableConcept"),
        ({"status": "finale"}, "'final'"),
        ({"status": "zzz"}, "amended, cancelled"),
        ({"subject/reference": "Group1/2"}, "Type/id"),
        ({"subject/reference": "Practitioner/2"}, "Patient or Group or Device or Location"),
        ({"effectiveDateTime": "yesterday"}, "YYYY-MM-DD"),
        ({"resourceType": "Observations"}, "'Observation'"),
    ],
)
def test_a_refusal_says_what_was_probably_meant(changes: dict[str, Any], text: str) -> None:
    assert text in " ".join(issue.text for issue in issues_of(changed(OBSERVATION, changes)))


def test_values_are_never_repeated() -> None:
    """They may be about a person."""
    secret = "Jane Doe born 1970"
    changes = {"birthDate": secret, "gender": secret, "name/0/given/1": "Jane\x01", "id": secret, secret: 1}
    for issue in issues_of(changed(PATIENT, changes)):
        assert "Jane" not in f"{issue.text} {issue.expression}"


def test_a_million_mistakes_are_answered_with_some() -> None:
    resource = changed(PATIENT, {"name": [{"x": 1}] * 20_000})
    assert len(issues_of(resource)) == MAX_ISSUES


def test_issues_in_a_bundle_say_in_which_entry() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"resource": PATIENT}, {"resource": {**PATIENT, "x": 1}}],
    }
    assert [i.expression for i in issues_of(bundle)] == ["Bundle.entry[1].resource.x"]


@pytest.mark.parametrize("data", [b"[]", b"1", b'"Patient"', b"null", b"[{}]"])
def test_only_objects_are_resources(data: bytes) -> None:
    with pytest.raises(BadRequest, match="resourceType"):
        parse_resource(data)


def test_the_type_must_be_that_of_the_url() -> None:
    data = stdlib.dumps(PATIENT).encode()
    assert parse_resource(data, expect="Patient") == PATIENT
    with pytest.raises(BadRequest, match="Observation"):
        parse_resource(data, expect="Observation")


def test_a_dict_that_patches_made_too_deep_is_an_issue() -> None:
    for depth in (70, 5000):
        extension: dict[str, Any] = {"url": "u", "valueString": "x"}
        for _ in range(depth):
            extension = {"url": "u", "extension": [extension]}
        assert [issue.id for issue in validate({**PATIENT, "extension": [extension]})] == ["json-depth"]


XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"name": [{"text": "x", "_id": {"id": "y"}}]}, "Patient.name[0]._id"),
        ({"extension": [{"url": "u", "_url": {"id": "y"}, "valueCode": "c"}]}, "Patient.extension[0]._url"),
        ({"text": {"status": "empty", "div": XHTML.format("x"), "_div": {"id": "y"}}}, "Patient.text._div"),
    ],
)
def test_what_xml_writes_as_an_attribute_has_nothing_beside_it(more: dict[str, Any], where: str) -> None:
    assert [(issue.id, issue.expression) for issue in validate(PATIENT | more)] == [("shape-unknown-element", where)]


@pytest.mark.parametrize(
    ("content", "good"),
    [
        ("<p>a <b>b</b></p>", True),
        (" ", True),
        ("<p>a", False),
        ("&nbsp;", False),
        ("<script>x()</script>", False),
        ("<p onclick='x()'>a</p>", False),
        ("<a href='javascript:x()'>a</a>", False),
        ("<!-- a comment -->", True),
        ("<![CDATA[><script>x()</script>]]>", False),
        ("<?x ><script>x()</script>?>", False),
        ("<!--><script>x()</script>-->", False),
        ("<!---><script>x()</script>-->", False),
    ],
)
def test_narratives_run_nothing(content: str, good: bool) -> None:
    narrative = {"status": "generated", "div": XHTML.format(content)}
    expected = [] if good else [("narrative", "Patient.text.div")]
    assert [(issue.id, issue.expression) for issue in validate(PATIENT | {"text": narrative})] == expected
    held = {"resourceType": "Composition", "id": "c", "section": [{"text": narrative}]}
    within = [issue for issue in validate(PATIENT | {"contained": [held]}) if issue.id == "narrative"]
    assert [issue.expression for issue in within] == ([] if good else ["Patient.contained[0].section[0].text.div"])
