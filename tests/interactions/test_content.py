"""Is it the same content? By value and precision, apart from what the server stamps and owns."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.interactions.content import own, same_content
from fhir_server.kit import json

STORED = b'{"resourceType":"Observation","id":"1","meta":{"versionId":"1"},"v":{"value":72.50},"a":[1,true]}'


def stored() -> Any:
    return json.decode(STORED)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (b'{"id":"1","resourceType":"Observation","a":[1,true],"v":{"value":72.50}}', True),
        (STORED, True),
        (b'{"resourceType":"Observation","id":"1","meta":{},"v":{"value":72.50},"a":[1,true]}', True),
        (b'{"resourceType":"Observation","id":"1","v":{"value":72.5},"a":[1,true]}', False),
        (b'{"resourceType":"Observation","id":"1","v":{"value":72.50},"a":[1,1]}', False),
        (b'{"resourceType":"Observation","id":"1","v":{"value":72.50},"a":[true,1]}', False),
        (b'{"resourceType":"Observation","id":"1","v":{"value":72.50}}', False),
        (b'{"resourceType":"Observation","id":"1","meta":{"tag":[{"code":"x"}]},"v":{"value":72.50},"a":[1,true]}', False),
    ],
)  # fmt: skip
def test_same_content(text: bytes, *, same: bool) -> None:
    assert same_content(json.decode(text), stored()) is same


@pytest.mark.parametrize(
    ("new", "old", "same"), [("active", "requested", True), ("requested", "active", True), ("off", "active", False)]
)
def test_what_the_server_owns_does_not_count(new: str, old: str, *, same: bool) -> None:
    one, other = ({"resourceType": "Subscription", "status": status} for status in (new, old))
    assert same_content(one, other) is same


def test_a_posted_subscription_is_requested() -> None:
    resource = {"resourceType": "Subscription", "status": "active"}
    own(resource)
    assert resource["status"] == "requested"
