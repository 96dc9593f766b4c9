"""JSON Patch against the public suite, a naive reading of RFC 6902, and what hostile patches try."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, FhirError, TooLarge, Unprocessable
from fhir_server.kit import json as kit
from fhir_server.model.patch import json_patch
from fhir_server.model.patch.document import json_patch_of
from fhir_server.model.patch.errors import MAX_OPERATIONS
from fhir_server.model.patch.pointer import parse
from tests.shared_data import shared

Json = dict[str, Any]


def done(document: Any, *operations: Json) -> Any:
    return json_patch.apply(document, json_patch.read_operations(list(operations))).document


def test_the_public_suite() -> None:
    cases = json.loads((shared("patch") / "json-patch-tests.json").read_text())
    assert len(cases) == 16
    for case in cases:
        operations = json_patch.read_operations(case["patch"])
        if "error" in case:
            with pytest.raises(Unprocessable):
                json_patch.apply(case["doc"], operations)
        else:
            assert json_patch.apply(case["doc"], operations).document == case["expected"], case["comment"]


# ---- a naive reading: every step makes a new document, straight from the words of the RFC ----


class Impossible(Exception):
    pass


def tokens(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def naive_get(document: Any, path: list[str]) -> Any:
    for token in path:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list) and token in [str(i) for i in range(len(document))]:
            document = document[int(token)]
        else:
            raise Impossible
    return document


def naive_set(document: Any, path: list[str], change: Any) -> Any:
    """Return the document with `change(parent, token)` in place of the parent of the path."""
    if len(path) == 1:
        return change(document, path[0])
    inner = naive_set(naive_get(document, path[:1]), path[1:], change)
    if isinstance(document, dict):
        return {**document, path[0]: inner}
    return [inner if str(i) == path[0] else item for i, item in enumerate(document)]


def naive_add(document: Any, path: list[str], value: Any) -> Any:
    def change(parent: Any, token: str) -> Any:
        if isinstance(parent, dict):
            return {**parent, token: value}
        if isinstance(parent, list):
            at = len(parent) if token == "-" else None
            at = int(token) if token in [str(i) for i in range(len(parent) + 1)] else at
            if at is not None:
                return [*parent[:at], value, *parent[at:]]
        raise Impossible

    return value if not path else naive_set(document, path, change)


def naive_remove(document: Any, path: list[str]) -> Any:
    def change(parent: Any, token: str) -> Any:
        if isinstance(parent, dict):
            return {name: item for name, item in parent.items() if name != token}
        return [item for i, item in enumerate(parent) if str(i) != token]

    naive_get(document, path)
    if not path:
        raise Impossible
    return naive_set(document, path, change)


def naive(document: Any, operation: Json) -> Any:
    op, path = operation["op"], tokens(operation["path"])
    if op == "add":
        return naive_add(document, path, operation["value"])
    if op == "remove":
        return naive_remove(document, path)
    if op == "replace":
        naive_get(document, path)
        return operation["value"] if not path else naive_add(naive_remove(document, path), path, operation["value"])
    if op == "test":
        if json.dumps(naive_get(document, path), sort_keys=True) != json.dumps(operation["value"], sort_keys=True):
            raise Impossible
        return document
    source = tokens(operation["from"])
    value = naive_get(document, source)
    if op == "copy":
        return naive_add(document, path, value)
    if path[: len(source)] == source:
        if path != source:
            raise Impossible
        return document
    return naive_add(naive_remove(document, source), path, value)


names = st.sampled_from(["a", "b", "c/d", "~", "", "0", "-", "__proto__"])
leaves = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"])
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
escaped = names.map(lambda name: name.replace("~", "~0").replace("/", "~1"))
paths = st.lists(escaped | st.sampled_from(["1", "2", "01"]), max_size=4).map(
    lambda parts: "".join(f"/{p}" for p in parts)
)
operations = st.lists(
    st.builds(
        lambda op, path, value: {"op": op, "path": path, "value": value},
        st.sampled_from(["add", "replace", "test"]),
        paths,
        documents,
    )
    | st.builds(lambda path: {"op": "remove", "path": path}, paths)
    | st.builds(
        lambda op, path, source: {"op": op, "path": path, "from": source},
        st.sampled_from(["move", "copy"]),
        paths,
        paths,
    ),
    max_size=4,
)


@given(documents, operations)
@settings(max_examples=1500, deadline=None)
def test_agrees_with_the_naive_reading(document: Any, patch: list[Json]) -> None:
    try:
        expected, possible = document, True
        for operation in patch:
            expected = naive(expected, operation)
    except Impossible:
        possible = False
    sent = copy.deepcopy(patch)
    try:
        got = json_patch.apply(copy.deepcopy(document), json_patch.read_operations(patch)).document
    except Unprocessable:
        assert not possible
    else:
        assert possible
        assert json.dumps(got, sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert patch == sent  # it may be applied again


@given(documents, documents)
@settings(max_examples=300, deadline=None)
def test_there_and_back(one: Any, other: Any) -> None:
    """replace and its inverse; a copy shares nothing with its source."""
    document = {"a": copy.deepcopy(one)}
    assert done(
        document, {"op": "replace", "path": "/a", "value": other}, {"op": "replace", "path": "/a", "value": one}
    ) == {"a": one}
    copied = done({"a": copy.deepcopy(one)}, {"op": "copy", "from": "/a", "path": "/b"})
    assert copied == {"a": one, "b": one}
    assert copied["a"] is not copied["b"] or not isinstance(one, dict | list)


# ---- FHIR ----

PATIENT = b'{"resourceType":"Patient","id":"p","name":[{"family":"A","given":["x","y"]}],"active":true}'


def patched(*operations: Json, body: bytes = PATIENT) -> Json:
    return json_patch_of(list(operations)).apply(body)


def test_decimals_stay_as_written() -> None:
    body = b'{"resourceType":"Observation","id":"o","valueQuantity":{"value":72.50}}'
    operations = kit.decode(
        b'[{"op":"test","path":"/valueQuantity/value","value":72.5},{"op":"add","path":"/x","value":1.10}]'
    )
    assert kit.encode(json_patch_of(operations).apply(body)).endswith(b'"valueQuantity":{"value":72.50},"x":1.10}')


def test_numbers_are_not_booleans_and_compare_by_value() -> None:
    assert done({"a": 1}, {"op": "test", "path": "/a", "value": Decimal("1.00")}) == {"a": 1}
    for one, other in ((1, True), (0, False), ("1", 1), (None, False), ([], {}), ([1], [True])):
        with pytest.raises(Unprocessable):
            done({"a": one}, {"op": "test", "path": "/a", "value": other})


def test_what_a_removal_leaves_empty_goes_too() -> None:
    assert "name" not in patched({"op": "remove", "path": "/name/0"})
    left = patched({"op": "remove", "path": "/name/0/given/1"}, {"op": "remove", "path": "/name/0/given/0"})
    assert left["name"] == [{"family": "A"}]
    assert "name" not in patched(*({"op": "remove", "path": f"/name/0/{name}"} for name in ("given", "family")))
    # What somebody adds empty is not hidden: validation will refuse it.
    assert patched({"op": "add", "path": "/telecom", "value": []})["telecom"] == []


@pytest.mark.parametrize(
    ("operation", "expression"),
    [
        ({"op": "remove", "path": "/name/1"}, "Patient.name[1]"),
        ({"op": "replace", "path": "/name/0/suffix", "value": []}, "Patient.name[0].suffix"),
        ({"op": "test", "path": "/active", "value": False}, "Patient.active"),
        ({"op": "add", "path": "/telecom/-", "value": {}}, "Patient.telecom"),
        ({"op": "add", "path": "/name/3", "value": {}}, "Patient.name[3]"),
        ({"op": "remove", "path": "/name/-"}, "Patient.name"),
        ({"op": "remove", "path": "/name/00"}, "Patient.name"),
        ({"op": "remove", "path": "/name/-1"}, "Patient.name"),
        ({"op": "remove", "path": "/name/1e0"}, "Patient.name"),
        ({"op": "remove", "path": "/name/99999999999999999999"}, "Patient.name"),
        ({"op": "remove", "path": "/active/x"}, "Patient.active.x"),
        ({"op": "remove", "path": ""}, "Patient"),
        ({"op": "move", "from": "/name", "path": "/name/0"}, "Patient.name[0]"),
        ({"op": "copy", "from": "/nothing", "path": "/x"}, "Patient.x"),
        ({"op": "replace", "path": "/id", "value": "q"}, "Patient.id"),
        ({"op": "remove", "path": "/id"}, "Patient.id"),
        ({"op": "replace", "path": "/resourceType", "value": "Group"}, "Patient.resourceType"),
        ({"op": "replace", "path": "", "value": [1]}, "Patient"),
        ({"op": "add", "path": "/__proto__/x", "value": 1}, "Patient"),
        ({"op": "remove", "path": "/constructor"}, "Patient.constructor"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_place(operation: Json, expression: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        patched({"op": "test", "path": "/active", "value": True}, operation)
    assert caught.value.issues[0].expression == expression
    assert caught.value.text.startswith("patch[1]") or caught.value.id in ("patch-identity", "patch-result")


@pytest.mark.parametrize(
    "document",
    [
        {},
        "x",
        None,
        [1],
        [{}],
        [{"op": "nonsense", "path": ""}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
        [{"op": "move", "path": "/a"}],
        [{"op": "copy", "path": "/a", "from": 1}],
        [{"op": "remove", "path": None}],
        [{"op": "remove", "path": "a"}],
        [{"op": "remove", "path": "/~2"}],
        [{"op": "remove", "path": "/a~"}],
        [{"op": ["add"], "path": "/a", "value": 1}],
        [{"op": "remove", "path": "/a" * 100}],
        [{"op": "remove", "path": "/" + "a" * 5000}],
    ],
)
def test_a_document_that_is_no_patch(document: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        json_patch_of(document)
    assert caught.value.id == "patch-malformed"


def test_texts_repeat_no_values() -> None:
    for operation in (
        {"op": "remove", "path": "/Mrs Secret"},
        {"op": "test", "path": "/active", "value": "Secret"},
        {"op": "move", "from": "/Mr Secret", "path": "/a"},
    ):
        with pytest.raises(FhirError) as caught:
            patched(operation)
        assert "Secret" not in json.dumps(caught.value.outcome())


def test_too_many_operations() -> None:
    with pytest.raises(TooLarge):
        json_patch_of([{"op": "test", "path": "/active", "value": True}] * 100_000)
    assert patched(*[{"op": "test", "path": "/active", "value": True}] * MAX_OPERATIONS)["active"]


def test_copies_of_copies_stay_bounded() -> None:
    doubling = [
        {"op": "copy", "from": "/name", "path": "/name/0/x"},
        {"op": "copy", "from": "/name", "path": "/name/-"},
    ]
    doubling += [{"op": "copy", "from": "/name/0", "path": "/name/-"}, {"op": "copy", "from": "", "path": "/copy"}]
    for operations in ([doubling[0]] * 500, [doubling[1]] * 500, [doubling[3]] * 500, doubling * 200):
        with pytest.raises(TooLarge):
            patched(*operations)


def test_moves_do_not_nest_without_end() -> None:
    operations: list[Json] = []
    for _ in range(80):
        operations += [
            {"op": "add", "path": "/new", "value": {}},
            {"op": "move", "from": "/deep", "path": "/new/deep"},
            {"op": "move", "from": "/new", "path": "/deep"},
        ]
    with pytest.raises(TooLarge):
        patched({"op": "add", "path": "/deep", "value": {}}, *operations)


def test_pointers() -> None:
    assert parse("") == ()
    assert parse("/") == ("",)
    assert parse("/a~1b/~01/m~0n") == ("a/b", "~1", "m~n")


# ---- narrative (R4 http.html#patch: it must not become unsafe) ----


def with_text(status: str) -> bytes:
    text = {"status": status, "div": '<div xmlns="http://www.w3.org/1999/xhtml">A</div>'}
    return json.dumps({"resourceType": "Patient", "id": "p", "active": True, "text": text}).encode()


CHANGE = {"op": "replace", "path": "/active", "value": False}


def test_a_generated_narrative_goes_when_the_data_change() -> None:
    for status in ("generated", "extensions"):
        assert "text" not in patched(CHANGE, body=with_text(status))
        kept = patched({"op": "add", "path": "/meta", "value": {"tag": [{"code": "t"}]}}, body=with_text(status))
        assert kept["text"]["status"] == status
        assert "text" in patched({"op": "test", "path": "/active", "value": True}, body=with_text(status))
    assert "text" in patched(CHANGE, body=with_text("empty"))


def test_a_narrative_that_the_patch_changes_is_the_authors() -> None:
    change = {"op": "replace", "path": "/text/status", "value": "additional"}
    assert patched(CHANGE, change, body=with_text("generated"))["text"]["status"] == "additional"


def test_a_narrative_that_says_more_than_the_data_must_be_changed_along() -> None:
    with pytest.raises(Unprocessable) as caught:
        patched(CHANGE, body=with_text("additional"))
    assert caught.value.id == "patch-narrative"
    assert "text" not in patched(CHANGE, {"op": "remove", "path": "/text"}, body=with_text("additional"))
