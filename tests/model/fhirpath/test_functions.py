"""Functions by name: expression, what it gives; the public suite has the rest."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.model.fhirpath import FhirPathError, Services, compile_path
from fhir_server.model.fhirpath.functions import FUNCTIONS

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "birthDate": "1974-12-25",
    "_birthDate": {"id": "b", "extension": [{"url": "http://x/time", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
    "name": [
        {"use": "official", "family": "Chalmers", "given": ["Peter", "James"]},
        {"use": "usual", "given": ["Jim", None], "_given": [None, {"extension": [{"url": "http://x/absent"}]}]},
    ],
    "multipleBirthInteger": 2,
    "generalPractitioner": [{"reference": "#d"}, {"reference": "Practitioner/9"}],
    "managingOrganization": {"reference": "Organization/o1"},
    "contained": [
        {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Doe"}]},
        {"resourceType": "Observation", "id": "o", "status": "final", "subject": {"reference": "#"}},
    ],
    "modifierExtension": [{"url": "http://x/modifier", "valueBoolean": True}],
}

CASES: list[tuple[str, list[Any]]] = [
    ("name.given", ["Peter", "James", "Jim", None]),
    ("name.given.select(hasValue())", [True, True, True, False]),
    ("name.given.getValue()", []),
    ("name.first().family.getValue()", ["Chalmers"]),
    ("name.given.extension('http://x/absent').url", ["http://x/absent"]),
    ("name.given.where(extension.exists()).count()", [1]),
    ("birthDate.id", ["b"]),
    ("birthDate.hasExtension('http://x/time')", [True]),
    ("birthDate.extension('http://x/time').value.hourOf()", [14]),
    ("birthDate.yearOf() | birthDate.monthOf() | birthDate.dayOf()", [1974, 12, 25]),
    ("multipleBirth", [2]),
    ("multipleBirth is integer", [True]),
    ("multipleBirth.is(Integer)", [False]),
    ("multipleBirth + 1 = 3", [True]),
    ("multipleBirthInteger", []),
    ("active and name.exists()", [True]),
    ("name.select(given.first() & ' ' & family)", ["Peter Chalmers", "Jim "]),
    ("name.where(use = 'usual').given.first()", ["Jim"]),
    ("name.given.where($index = 1)", ["James"]),
    ("name.select($index)", [0, 1]),
    ("name.all(given.count() = 2)", [True]),
    ("name.exists(family.exists())", [True]),
    ("name.use.subsetOf('official' | 'usual' | 'old')", [True]),
    ("('official' | 'usual' | 'old').supersetOf(name.use)", [True]),
    ("name.use.intersect('usual' | 'old')", ["usual"]),
    ("name.use.exclude('usual')", ["official"]),
    ("name.use contains 'usual'", [True]),
    ("(1 | 2 | 3).tail().first() | (1 | 2 | 3).last()", [2, 3]),
    ("(1 | 2 | 3)[1]", [2]),
    ("(1 | 2 | 3)[9]", []),
    ("(1 | 2 | 3).skip(-1).take(-1)", []),
    ("(true | false).anyTrue() and (true | false).anyFalse()", [True]),
    ("(true | false).allFalse()", [False]),
    ("(1.combine(1)).isDistinct()", [False]),
    ("(3 | 1 | 2).sort()", [1, 2, 3]),
    ("(3 | 1 | 2).sort(-$this)", [3, 2, 1]),
    ("('b' | 'a').sort().first()", ["a"]),
    ("coalesce(name.period, name.suffix, name.use.first(), 1 / 0)", ["official"]),
    ("(1 | 2 | 3).aggregate($total + $this, 0)", [6]),
    ("contained.resolve()", []),
    ("generalPractitioner.resolve().name.family", ["Doe"]),
    ("generalPractitioner.where(resolve() is Practitioner).count()", [2]),
    ("managingOrganization.resolve()", []),
    ("managingOrganization.resolve().is(Organization)", [True]),
    ("managingOrganization.resolve() is Patient", [False]),
    ("contained.ofType(Observation).subject.resolve().id", ["p1"]),
    ("contained.where($this is Practitioner).name.family", ["Doe"]),
    ("contained.select(%resource.id & %rootResource.id)", ["p1p1", "p1p1"]),
    ("conformsTo('http://hl7.org/fhir/StructureDefinition/DomainResource')", [True]),
    ("elementDefinition().path", ["Patient"]),
    ("name.given.first().elementDefinition().select(path & max)", ["HumanName.given*"]),
    ("generalPractitioner.first().elementDefinition().type.code", ["Reference"]),
    ("checkModifiers('http://x/modifier').id", ["p1"]),
    ("'abc'.substring(1, 1) & 'abc'.substring(3)", ["b"]),
    ("'abcabc'.lastIndexOf('b')", [4]),
    ("'a.b.c'.split('.').join('-')", ["a-b-c"]),
    ("'ab'.toChars()", ["a", "b"]),
    ("'2020-03-04'.replaceMatches('(\\\\d+)-(\\\\d+)-(\\\\d+)', '$3/${2}/$1')".replace("${2}", "$2"), ["04/03/2020"]),
    ("'x1'.replaceMatches('(?P<letter>[a-z])', '<${letter}>')", ["<x>1"]),
    ("'a'.encode('nonsense')", ["fhirpath-type"]),
    ("'zz'.decode('hex')", []),
    ("'&lt;'.unescape('html').escape('html')", ["&lt;"]),
    ("1.5.round() | 2.5.round() | (-1.5).round()", [Decimal(2), Decimal(3), Decimal(-2)]),
    ("1.25.round(1)", [Decimal("1.3")]),
    ("8.log(2)", [Decimal(3)]),
    ("0.ln()", []),
    ("2.power(0.5) > 1.41 and 2.sqrt() < 1.42", [True]),
    ("(-1).sqrt()", []),
    ("7.0 div 2 | -7 mod 4", [3, -3]),
    ("1 / 0", []),
    ("5 'mg' + 1 'g'", [{"value": Decimal(1005), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}]),
    ("1 'mg' + 1 'm'", []),
    ("3 days + 1 week = 10 days", [True]),
    ("1 year = 1 'a'", []),
    ("1 year ~ 1 'a'", [True]),
    ("1 year = 12 months", [True]),
    ("37 'Cel' = 310.15 'K'", [True]),
    ("98.6 '[degF]' > 36.9 'Cel'", [True]),
    ("180 'mg/dL' < 11 'mmol/L'", []),
    ("5 'mmol/L' = 5 'mol/m3'", [True]),
    ("120 'mm[Hg]' > 15 'kPa'", [True]),
    ("60 '/min' = 1 'Hz'", [True]),
    ("100 'mg'.toQuantity('g') = 0.1 'g'", [True]),
    ("1 'wk'.toQuantity('days').toString()", ["7 days"]),
    ("@2020-01-31 + 1 month", ["2020-02-29"]),
    ("@2020 + 13 months", ["2021"]),
    ("@2020-03 - 31 days", ["2020-02"]),
    ("@2016-02-28 + 48 hours", ["2016-03-01"]),
    ("@T23:30 + 1 hour", ["00:30"]),
    ("@T00:00:00 - 1 second", ["23:59:59"]),
    ("@2020-01-01T00:00:00Z - 1 millisecond", ["2019-12-31T23:59:59.999Z"]),
    ("@2020-01-01T00:00:00+01:00 = @2019-12-31T23:00:00Z", [True]),
    ("@2020-01-01T00:00:00 = @2020-01-05T00:00:00Z", [False]),
    ("@2020-01-01T10:00:00 < @2020-01-05T10:00:00Z", [True]),
    ("@2020-01-01T10:00:00 < @2020-01-01T10:00:00Z", []),
    ("@2020-01-01 < @T10:00", ["fhirpath-type"]),
    ("@2020-02-29T10:20:30.456+05:30.timezoneOffsetOf()", [Decimal("5.5")]),
    ("@2020-02-29T10:20:30.456.millisecondOf()", [456]),
    ("@2020-02-29T10:20:30.dateOf()", ["2020-02-29"]),
    ("@2020-02-29T10:20:30.timeOf()", ["10:20:30"]),
    ("@2020-02.highBoundary()", ["2020-02-29"]),
    ("@2019-02.lowBoundary()", ["2019-02-01"]),
    ("now() = now() and today() = now().dateOf()", [True]),
    ("timeOfDay().toString().length()", [12]),
    ("'2020-01-01T10:00:00Z'.toDateTime().toDate()", ["2020-01-01"]),
    ("'10:30'.toTime()", ["10:30"]),
    ("'yes'.toBoolean() and 'N'.toBoolean().not()", [True]),
    ("'+12'.toInteger() | '12.50'.toDecimal()", [12, Decimal("12.50")]),
    ("'2147483648'.toInteger()", []),
    ("1.type().baseType | name.first().type().name", ["System.Any", "HumanName"]),
    ("type().baseType", ["FHIR.DomainResource"]),
    ("'A b' ~ ' a  B'", [True]),
    ("(1 | 2) ~ (2 | 1)", [True]),
    ("name.first() ~ name.first() and name.first() = name.first()", [True]),
    ("name.first() = name.last()", [False]),
    ("1 = true", [False]),
    ("(1 | true | 1.0).count()", [2]),
    ("iif(name.exists(), 1, 1 / 0)", [1]),
    ("%`vs-x` & %`ext-y`", ["http://hl7.org/fhir/ValueSet/xhttp://hl7.org/fhir/StructureDefinition/y"]),
    ("text.`div`.htmlChecks()", [False]),
]


def _outcome(expression: str, services: Services | None = None, **variables: Any) -> list[Any]:
    try:
        return compile_path(expression)(PATIENT, services=services or Services(), **variables)
    except FhirPathError as error:
        return [error.id]


@pytest.mark.parametrize(("expression", "expected"), CASES, ids=[expression for expression, _ in CASES])
def test_result(expression: str, expected: list[Any]) -> None:
    assert _outcome(expression) == expected


@pytest.mark.parametrize(
    "expression",
    ["name.single()", "name.substring(0)", "name.not()", "(1 | 2) + 1", "'a' - 'b'", "name.given < 'x'", "true < false",
     "name = name and (1 | 2)", "name.as(HumanName)", "iif('x', 1)", "(1 | 'a').allTrue()", "name.abs()", "1.skip('a')",
     "checkModifiers('http://x/other')", "-'a'", "@2020 + 1", "1 & 2", "name.join(',')"],
)  # fmt: skip
def test_wrong_types_are_refused(expression: str) -> None:
    assert _outcome(expression) == ["fhirpath-type"]


@pytest.mark.parametrize(
    "expression", ["memberOf('x')", "subsumes('x')", "subsumedBy('x')", "conformsTo('http://trash')"]
)
def test_what_needs_a_service_says_so(expression: str) -> None:
    assert _outcome(expression) == ["fhirpath-not-supported"]


def test_services_are_asked() -> None:
    seen: list[Any] = []
    services = Services(
        resolve=lambda text: {"resourceType": "Organization", "id": "o1", "name": text},
        member_of=lambda code, url: seen.append((code, url)) or True,
        subsumes=lambda left, right: (left, right) == ("a", "b"),
        conforms_to=lambda raw, url: url == "http://p",
        trace=lambda name, items: seen.append((name, len(items))),
    )
    assert _outcome("managingOrganization.resolve().name", services) == ["Organization/o1"]
    assert _outcome("name.first().use.memberOf('http://vs')", services) == [True]
    assert _outcome("'a'.subsumes('b') and 'b'.subsumedBy('a')", services) == [True]
    assert _outcome("conformsTo('http://p') and conformsTo('http://q').not()", services) == [True]
    assert _outcome("name.trace('n', given).count()", services) == [2]
    assert seen == [("official", "http://vs"), ("n", 4)]


VALUES = st.sampled_from(
    ["{}", "true", "0", "-1", "2147483647", "1.50", "10.0.power(6000)", "''", "'2020-01-01'", "'(a+)+'", "'[a'", "'$1'", "'hex'",
     "@2020", "@2020-02-29", "@2020-02-29T10", "@9999-12-31T23:59:59-12:00", "@T23:59:59.999", "1 'mg'", "5 days", "-3 months",
     "1 'foo'", "name", "name.given", "birthDate", "%resource", "$this", "(1 | 2)", "generalPractitioner", "contained", "type()",
     "Patient", "System.Integer", "now()"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(VALUES, st.sampled_from(sorted(FUNCTIONS)), st.lists(VALUES, max_size=3))
def test_any_function_of_any_values_answers_or_is_refused(value: str, function: str, arguments: list[str]) -> None:
    found = _outcome(f"({value}).{function}({', '.join(arguments)})", Services(steps=5_000))
    assert isinstance(found, list)


def test_references_inside_a_bundle_resolve_to_its_entries() -> None:
    patient = {"resourceType": "Patient", "id": "1", "name": [{"family": "A"}]}
    observation = {
        "resourceType": "Observation",
        "subject": {"reference": "Patient/1"},
        "focus": [{"reference": "urn:uuid:7"}],
    }
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": "http://a/fhir/Observation/2", "resource": observation},
            {"fullUrl": "http://b/fhir/Patient/1", "resource": {"resourceType": "Patient", "name": [{"family": "B"}]}},
            {"fullUrl": "http://a/fhir/Patient/1", "resource": patient},
            {"fullUrl": "urn:uuid:7", "resource": {"resourceType": "Group"}},
        ],
    }
    assert compile_path("entry.resource.ofType(Observation).subject.resolve().name.family")(bundle) == ["A"]
    assert compile_path("entry.resource.ofType(Observation).focus.resolve() is Group")(bundle) == [True]
    assert compile_path("entry.select(resource.subject.resolve().count())")(bundle) == [1, 0, 0, 0]


def test_variables_may_be_resources_values_and_lists() -> None:
    assert _outcome("%a.name.given.first() & %b", a={"resourceType": "Patient", "name": [{"given": ["x"]}]}, b="y") == [
        "xy"
    ]
    assert _outcome("%c.count() + %c.first()", c=[1, 2]) == [3]
    assert _outcome("%nothing.empty()", nothing=None) == [True]
    assert _outcome("%resource.id", resource={"resourceType": "Basic", "id": "other"}) == ["other"]


def test_nodes_know_where_they_are() -> None:
    items = compile_path("name.given | contained.name.family").items(PATIENT)
    assert [item.location() for item in items] == [
        "Patient.name[0].given[0]",
        "Patient.name[0].given[1]",
        "Patient.name[1].given[0]",
        "Patient.name[1].given[1]",
        "Patient.contained[0].name[0].family",
    ]
    assert "Peter" not in repr(items)


def test_elements_are_evaluated_by_their_declared_path() -> None:
    name = PATIENT["name"][0]
    assert compile_path("family", "HumanName")(name) == ["Chalmers"]
    assert compile_path("value is Quantity", "Observation.component").test({"valueQuantity": {"value": 1}})
    assert compile_path("$this = 'a'", "string").test("a")
    with pytest.raises(FhirPathError, match="no declared type"):
        compile_path("family")(name)


def test_criteria_and_invariants_differ_on_empty() -> None:
    compiled = compile_path("name.period.start < today()")
    assert not compiled.test(PATIENT)
    assert compiled.holds(PATIENT)
    assert not compile_path("active.not()").holds(PATIENT)


def test_evaluation_changes_nothing() -> None:
    before = repr(PATIENT)
    for expression, _ in CASES:
        _outcome(expression)
    assert repr(PATIENT) == before


def test_the_table_has_every_function_of_the_specifications() -> None:
    n1 = """empty exists all allTrue anyTrue allFalse anyFalse subsetOf supersetOf count distinct isDistinct where select repeat
        ofType single first last tail skip take intersect exclude union combine iif toBoolean convertsToBoolean toInteger
        convertsToInteger toDate convertsToDate toDateTime convertsToDateTime toDecimal convertsToDecimal toQuantity
        convertsToQuantity toString convertsToString toTime convertsToTime indexOf substring startsWith endsWith contains upper
        lower replace matches replaceMatches length toChars abs ceiling exp floor ln log power round sqrt truncate children
        descendants trace now timeOfDay today not aggregate is as type"""
    r4 = """extension hasValue getValue resolve elementDefinition checkModifiers conformsTo memberOf subsumes subsumedBy
        htmlChecks"""
    assert set(n1.split()) | set(r4.split()) <= set(FUNCTIONS)
