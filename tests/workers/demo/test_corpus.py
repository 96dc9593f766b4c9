"""The training corpus: all types of R4, right in shape, the same every time, and worth training on."""

from __future__ import annotations

from collections import Counter

import pytest
import zstandard

from fhir_server.kit import json
from fhir_server.validation.validate import validate
from profiles.registry import R4
from workers.demo.chance import chance
from workers.demo.corpus import SHAPES, corpus, instance


@pytest.fixture(scope="module")
def resources():
    return list(corpus(1))


def test_every_type_is_there_and_valid(resources):
    types = Counter(resource["resourceType"] for resource in resources)
    assert set(types) == set(R4.types)
    assert min(types.values()) >= SHAPES
    assert [(r["resourceType"], issue.text) for r in resources for issue in validate(r)] == []


def test_other_seeds_are_valid_too():
    for type_ in R4.types:
        assert validate(instance(chance(99, type_), type_, 0.7)) == [], type_


def test_what_the_twin_writes_is_in_it(resources):
    tagged = [r for r in resources if any(tag.get("code") == "twin" for tag in r.get("meta", {}).get("tag", []))]
    assert {r["resourceType"] for r in tagged} == {"Observation", "Provenance", "Device", "RiskAssessment"}


def test_a_dictionary_trained_on_it_compresses_what_it_has_not_seen(resources):
    texts = [json.encode(resource) for resource in resources]
    dictionary = zstandard.train_dictionary(64 << 10, texts[::2])
    trained, plain = zstandard.ZstdCompressor(dict_data=dictionary), zstandard.ZstdCompressor()
    unseen = texts[1::2]
    with_dictionary, without = (sum(len(codec.compress(text)) for text in unseen) for codec in (trained, plain))
    assert with_dictionary < 0.75 * without
