"""The fast check: made lazily and quickly, certain about what is common, and never about what is wrong."""

import time

from fhir_server.kit import json
from fhir_server.model.shape import certainly_valid, decoder
from profiles.registry import R4
from tests.r4_examples import examples


def test_a_decoder_can_be_made_for_every_type() -> None:
    started = time.process_time()
    for type_ in R4.types:
        assert decoder(type_) is decoder(type_)
    assert time.process_time() - started < 5  # about 0.3 s


def test_nearly_all_examples_take_the_fast_path() -> None:
    compact = [json.decode_compact(text) for text in examples().values()]
    certain = sum(certainly_valid(text, resource["resourceType"]) for resource, text in compact)
    assert certain >= len(compact) - 10


def test_a_type_is_checked_against_its_tag() -> None:
    assert certainly_valid(b'{"resourceType":"Patient"}', "Patient")
    assert not certainly_valid(b'{"resourceType":"Group"}', "Patient")


def test_doubts_are_not_certainties() -> None:
    for inside in (b'"text":{}', b'"name":[]', b'"active":null', b'"name":[null]', b'"x":1', b'"id":"\\u0007"'):
        assert not certainly_valid(b'{"resourceType":"Patient",' + inside + b"}", "Patient")


def test_recursive_types_are_closed() -> None:
    inner = b'{"url":"u","valueReference":{"identifier":{"assigner":{"identifier":{"value":"x"}}}}}'
    assert certainly_valid(
        b'{"resourceType":"Patient","extension":[{"url":"u","extension":[' + inner + b"]}]}", "Patient"
    )
    wrong = inner.replace(b'"x"', b"1")
    assert not certainly_valid(
        b'{"resourceType":"Patient","extension":[{"url":"u","extension":[' + wrong + b"]}]}", "Patient"
    )
