"""Whatever becomes of a valid resource, it is read or refused as FHIR says, and the two checks agree."""

import json as stdlib
from copy import deepcopy
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.errors import FhirError
from fhir_server.kit import json
from fhir_server.model.shape import certainly_valid
from fhir_server.validation.explain import explain
from fhir_server.validation.validate import parse_resource
from profiles.registry import R4
from tests.r4_examples import examples

SEEDS = [
    *("Patient-example.json", "Observation-f001.json", "Condition-example.json", "Bundle-father.json"),
    *("Composition-example.json", "MedicationRequest-medrx0302.json", "Observation-blood-pressure.json"),
    *("Encounter-f001.json", "CarePlan-example.json", "Questionnaire-3141.json", "AuditEvent-example.json"),
]
ODD = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, 2**40, "", " ", "x", "null", "2020-13-45", "Patient/1", "\u0007", "\u2028"),
        *([], {}, [None], [[]], [{}], {"": 1}, {"id": None}, {"extension": []}),
        *({"resourceType": "Patient"}, {"resourceType": 1}),
    ]
)
PIECES = st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"}", b"[", b"\\", b",", b":", b"null", b"1e9"])
NAMES = st.sampled_from(
    ["id", "resourceType", "value", "valueString", "_id", "_given", "extension", "x", "__", "class", "0"]
)


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return (holder, key) of everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((value, key))
        places(item, found)
    return found


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid example after one to three changes to its tree."""
    known = [examples()[name] for name in SEEDS]
    resource = stdlib.loads(draw(st.sampled_from(known)), parse_float=Decimal)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(places(resource, []) or [({"": 1}, "")]))
        match draw(st.integers(0, 5)):
            case 0:
                holder[key] = deepcopy(draw(ODD))
            case 1:
                del holder[key]
            case 2:
                holder[key] = [holder[key]]
            case 3 if isinstance(holder[key], list) and holder[key]:
                holder[key] = holder[key][0]
            case 4 if isinstance(holder, dict):
                holder[draw(NAMES)] = deepcopy(draw(ODD | st.just(holder[key])))
            case 5 if isinstance(holder, dict):
                holder[draw(NAMES)] = holder.pop(key)
            case _:
                holder[key] = str(holder[key])[:50]
    return stdlib.dumps(resource, default=float).encode()


@given(mutated())
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
def test_a_changed_resource_is_read_or_refused(data: bytes) -> None:
    try:
        resource = parse_resource(data)
    except FhirError as refused:
        error = refused
    else:
        assert explain(resource) == []
        return
    assert 400 <= error.status < 500
    assert error.issues
    assert all(issue.text and issue.id for issue in error.issues)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_changed_bytes_are_read_or_refused(data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from([t for t in examples().values() if len(t) < 3000])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 3))
        text[start : start + length] = data.draw(PIECES)
        if not text:
            break
    try:
        resource = parse_resource(bytes(text))
    except FhirError as refused:
        error = refused
    else:
        assert explain(resource) == []
        return
    assert error.status < 500


@given(mutated())
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
def test_what_the_fast_check_accepts_the_slow_walk_accepts(data: bytes) -> None:
    try:
        resource, text = json.decode_compact(data)
    except FhirError:
        return
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    if R4.is_type(type_) and certainly_valid(text, type_):
        # What the fast check does not look into are the resources inside.
        inside = (".contained[", ".resource.", ".outcome.")
        assert [i for i in explain(resource) if not any(part in f"{i.expression}." for part in inside)] == []
