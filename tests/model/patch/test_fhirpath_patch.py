"""FHIRPath Patch as R4 `fhirpatch.html` says: places, types, lists, choices, primitives with extensions, and its refusals."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, TooLarge, Unprocessable
from fhir_server.kit import json as kit
from fhir_server.model.patch.document import fhirpath_patch_of
from fhir_server.validation.validate import parse_resource
from tests.model.patch.fhirpath_cases import (
    ADA,
    CASES,
    Json,
    add,
    delete,
    insert,
    move,
    operation,
    part,
    patched,
    patient,
    replace,
)


@pytest.mark.parametrize(
    ("before", "operations", "after"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_an_operation_does(before: Json, operations: list[Json], after: Json) -> None:
    got = patched(before, *operations)
    assert json.loads(kit.encode(got)) == json.loads(kit.encode(after))
    parse_resource(kit.encode(got))


# ---- primitives with ids and extensions: the `_x` beside them ----

NOTE = {"extension": [{"url": "http://e.example", "valueString": "why"}]}


def test_an_extension_of_a_primitive_is_added_and_deleted() -> None:
    extension = [part("url", "http://e.example", "Uri"), part("value", "why", "String")]
    one = patched(patient(birthDate="1815"), add("Patient.birthDate", "extension", extension))
    assert one == patient(birthDate="1815", _birthDate=NOTE)
    assert patched(one, delete("Patient.birthDate.extension('http://e.example')")) == patient(birthDate="1815")
    listed = patched(patient(name=[ADA]), add("Patient.name[0].given[1]", "extension", extension))
    assert listed["name"][0]["_given"] == [None, NOTE]
    assert patched(listed, delete("Patient.name.given.extension")) == patient(name=[ADA])


def test_a_value_brings_its_extension_along() -> None:
    value = {"name": "value", "valueDate": "1815", "_valueDate": NOTE}
    given = operation("add", "Patient", part("name", "birthDate", "String"), value)
    assert patched(patient(), given) == patient(birthDate="1815", _birthDate=NOTE)
    only = operation("add", "Patient", part("name", "birthDate", "String"), {"name": "value", "_valueDate": NOTE})
    assert patched(patient(), only) == patient(_birthDate=NOTE)
    assert patched(patient(_birthDate=NOTE), delete("Patient.birthDate.extension")) == patient()


def test_lists_of_primitives_stay_in_step_with_their_extensions() -> None:
    before = patient(name=[{"given": ["a", None, "c"], "_given": [None, NOTE, None]}])
    assert patched(before, delete("Patient.name.given[0]"))["name"] == [{"given": [None, "c"], "_given": [NOTE, None]}]
    assert patched(before, move("Patient.name.given", 1, 0))["name"] == [
        {"given": [None, "a", "c"], "_given": [NOTE, None, None]}
    ]
    assert patched(before, insert("Patient.name.given", 1, "b", "String"))["name"] == [
        {"given": ["a", "b", None, "c"], "_given": [None, None, NOTE, None]}
    ]
    assert patched(before, delete("Patient.name.given[1]"))["name"] == [{"given": ["a", "c"]}]


# ---- refusals ----


@pytest.mark.parametrize(
    ("given", "id_", "expression"),
    [
        (replace("Patient.birthDate", "1815", "Date"), "patch-no-match", "Parameters.parameter[1]"),
        (add("Patient.contact", "gender", "male", "Code"), "patch-no-match", "Parameters.parameter[1]"),
        (
            insert("Patient.contact.telecom", 0, {"value": "1"}, "ContactPoint"),
            "patch-no-match",
            "Parameters.parameter[1]",
        ),
        (replace("Patient.name", {"text": "x"}, "HumanName"), "patch-several-matches", "Patient.name[0]"),
        (delete("Patient.name.given"), "patch-several-matches", "Patient.name[0].given[0]"),
        (add("Patient.name", "text", "x", "String"), "patch-several-matches", "Patient.name[0]"),
        (insert("Patient.name.given", 0, "x", "String"), "patch-several-matches", "Patient.name[0]"),
        (add("Patient", "gender", "female", "Code"), "patch-failed", "Patient.gender"),
        (add("Patient", "deceased", "2020", "DateTime"), "patch-failed", "Patient.deceased"),
        (add("Patient", "nonsense", "x", "String"), "patch-type", "Parameters.parameter[1]"),
        (add("Patient", "birthDate", True, "Boolean"), "patch-type", "Parameters.parameter[1]"),
        (add("Patient", "birthDate", "1815", "String"), "patch-type", "Parameters.parameter[1]"),
        (replace("Patient.gender", {"text": "x"}, "HumanName"), "patch-type", "Parameters.parameter[1]"),
        (replace("Patient.gender", [part("x", "y", "Code")]), "patch-type", "Parameters.parameter[1]"),
        (add("Patient", "contact", {"text": "x"}, "HumanName"), "patch-type", "Parameters.parameter[1]"),
        (add("Patient", "contact", [part("nonsense", "x", "String")]), "patch-type", "Parameters.parameter[1]"),
        (add("Patient", "contact", [part("gender", "male", "Code")] * 2), "patch-type", "Parameters.parameter[1]"),
        (insert("Patient.name", 3, {"text": "x"}, "HumanName"), "patch-failed", "Parameters.parameter[1]"),
        (insert("Patient.name", -1, {"text": "x"}, "HumanName"), "patch-failed", "Parameters.parameter[1]"),
        (insert("Patient.gender", 0, "male", "Code"), "patch-failed", "Patient.gender"),
        (insert("Patient.nonsense", 0, "male", "Code"), "patch-type", "Parameters.parameter[1]"),
        (move("Patient.name", 0, 2), "patch-failed", "Parameters.parameter[1]"),
        (move("Patient.name", 2, 0), "patch-failed", "Parameters.parameter[1]"),
        (move("Patient.telecom", 0, 0), "patch-failed", "Parameters.parameter[1]"),
        (delete("Patient"), "patch-failed", "Patient"),
        (replace("Patient", {"resourceType": "Patient"}, "Resource"), "patch-failed", "Patient"),
        (delete("Patient.name.count()"), "patch-failed", "Parameters.parameter[1]"),
        (delete("'text'"), "patch-failed", "Parameters.parameter[1]"),
        (replace("Patient.id", "q", "Id"), "patch-identity", "Patient.id"),
        (delete("Patient.id"), "patch-identity", "Patient.id"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_place(given: Json, id_: str, expression: str) -> None:
    before = patient(gender="male", deceasedBoolean=False, name=[ADA, ADA])
    with pytest.raises(Unprocessable) as caught:
        patched(before, delete("Patient.active"), given)
    assert (caught.value.id, caught.value.issues[0].expression) == (id_, expression)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "other", "part": [part("type", "delete", "Code")]},
        {"name": "operation"},
        {"name": "operation", "part": [part("type", "nonsense", "Code"), part("path", "Patient", "String")]},
        {"name": "operation", "part": [part("type", "delete", "Code")]},
        {"name": "operation", "part": [part("type", "delete", "Code"), part("path", 1, "Integer")]},
        {"name": "operation", "part": [part("type", True, "Boolean"), part("path", "Patient", "String")]},
        operation("delete", "Patient.name[0]", part("index", 0, "Integer")),
        operation("delete", "Patient.name[0]", part("nonsense", 0, "Integer")),
        operation("delete", "Patient.name[0]", part("path", "Patient", "String")),
        operation("add", "Patient", part("value", "x", "String")),
        operation("insert", "Patient.name", part("value", {"text": "x"}, "HumanName")),
        operation("insert", "Patient.name", part("value", {"text": "x"}, "HumanName"), part("index", "0", "String")),
        insert("Patient.name[0]", 0, "x", "String"),
        insert("Patient", 0, "x", "String"),
        move("Patient.name.first()", 0, 0),
        delete("Patient.name["),
        delete("nonsense("),
        delete("Patient.nonsense()"),
        delete("(" * 200),
        delete("Patient.name.where(given.single() = 'x')"),
    ],
)
def test_a_document_that_is_no_patch(wrong: Json) -> None:
    with pytest.raises(BadRequest) as caught:
        patched(patient(name=[ADA]), delete("Patient.active"), wrong)
    assert caught.value.id == "patch-malformed"
    assert (caught.value.issues[0].expression or "").startswith("Parameters.parameter[1]")


def test_too_many_operations() -> None:
    many = {"resourceType": "Parameters", "parameter": [delete("Patient.active")] * 100_000}
    with pytest.raises(TooLarge):
        fhirpath_patch_of(many)


def test_expressions_are_bounded_together() -> None:
    dear = "Patient.name.where(%resource.descendants().count() > 100000).family"
    with pytest.raises(TooLarge):
        patched(patient(name=[{"given": [str(i) for i in range(200)]} for _ in range(20)]), *[delete(dear)] * 100)


def test_extensions_do_not_nest_without_end() -> None:
    inner = [part("url", "http://e.example", "Uri")]
    operations = [add("Patient" + ".extension" * depth, "extension", inner) for depth in range(100)]
    with pytest.raises(TooLarge):
        patched(patient(), *operations)


def test_texts_repeat_no_values() -> None:
    for wrong in (
        replace("Patient.gender", "Secret", "String"),
        delete("Patient.name.where(family = 'Secret'"),
        add("Patient", "Secret", "x", "Code"),
    ):
        with pytest.raises((BadRequest, Unprocessable)) as caught:
            patched(patient(gender="male"), wrong)
        assert "Secret" not in json.dumps(caught.value.outcome())


# ---- properties: lists against Python's, and every operation undone by its inverse ----

words = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5)
moves = st.tuples(st.sampled_from(["insert", "move", "delete", "replace"]), st.integers(-1, 6), st.integers(-1, 6))


@given(words, st.lists(moves, max_size=5))
@settings(max_examples=300, deadline=None)
def test_lists_are_lists(given_names: list[str], steps: list[tuple[str, int, int]]) -> None:
    resource = patient(name=[{"given": given_names, "family": "f"}])
    expected = list(given_names)
    for kind, one, other in steps:
        path = "Patient.name[0].given"
        inside = {
            "insert": 0 <= one <= len(expected),
            "move": 0 <= one < len(expected) and 0 <= other < len(expected),
            "delete": True,
            "replace": 0 <= one < len(expected),
        }[kind]
        step = {
            "insert": insert(path, one, "x", "String"),
            "move": move(path, one, other),
            "delete": delete(f"{path}[{max(one, 0)}]"),
            "replace": replace(f"{path}[{max(one, 0)}]", "y", "String"),
        }[kind]
        if kind == "replace" and one < 0:
            continue
        if not inside:
            with pytest.raises(Unprocessable):
                patched(resource, step)
            continue
        resource = patched(resource, step)
        if kind == "insert":
            expected.insert(one, "x")
        elif kind == "move":
            expected.insert(other, expected.pop(one))
        elif kind == "replace":
            expected[one] = "y"
        elif max(one, 0) < len(expected):
            del expected[max(one, 0)]
    assert resource["name"][0].get("given", []) == expected


simple = st.fixed_dictionaries(
    {},
    optional={
        "gender": st.sampled_from(["male", "female"]),
        "birthDate": st.sampled_from(["1815", "1815-12-10"]),
        "active": st.booleans(),
        "language": st.just("en"),
        "maritalStatus": st.fixed_dictionaries({"text": st.sampled_from(["m", "s"])}),
    },
)
TYPES = {
    "gender": "Code",
    "birthDate": "Date",
    "active": "Boolean",
    "language": "Code",
    "maritalStatus": "CodeableConcept",
}


@given(simple, simple)
@settings(max_examples=200, deadline=None)
def test_from_any_state_to_any_other_and_back(one: Json, other: Json) -> None:
    def steps(before: Json, after: Json) -> list[Json]:
        gone = [delete(f"Patient.{name}") for name in before if name not in after]
        new = [add("Patient", name, after[name], TYPES[name]) for name in after if name not in before]
        return gone + new + [replace(f"Patient.{name}", after[name], TYPES[name]) for name in after if name in before]

    there = patched(patient(**one), *steps(one, other))
    assert there == patient(**other)
    kept = copy.deepcopy(there)
    assert patched(there, *steps(other, one)) == patient(**one)
    assert there == kept
