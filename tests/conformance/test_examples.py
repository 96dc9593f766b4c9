"""The 727 example instances of R4 go in and come out equal, but for id, meta and what the server owns."""

from __future__ import annotations

from typing import Any

from fhir_server.kit import json
from tests.http.client import Caller
from tests.r4_examples import DEFINITIONS, all_files

OWNED = {"Subscription": {"status"}}
"""What the server decides, whatever a client writes."""

APPEND_ONLY = "AuditEvent/"
"""What is never changed is not put under an id of the client's either: it is posted."""

BREAK_R4: dict[str, str] = {}
"""Type/id -> the rule that an example breaks itself: it is refused with that issue."""


def without_owned(resource: dict[str, Any]) -> dict[str, Any]:
    left = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    for name in OWNED.get(resource["resourceType"], ()):
        left.pop(name, None)
    return left | ({"meta": meta} if meta else {})


async def test_examples_go_in_and_come_out(fresh: Caller) -> None:
    refused: dict[str, str] = {}
    different: list[str] = []
    seen: set[str] = set()
    for file, text in all_files():
        if file.startswith(DEFINITIONS):
            continue
        resource = json.decode(text)
        name = f"{resource['resourceType']}/{resource['id']}"
        seen.add(name)
        if name.startswith(APPEND_ONLY):
            answer = await fresh.post(resource["resourceType"], text)
        else:
            answer = await fresh.put(name, text)
        if answer.status not in (200, 201):
            refused[name] = answer.issue
            continue
        stored = json.decode((await fresh.get(f"{resource['resourceType']}/{answer.id}")).text.encode())
        if exact(without_owned(stored)) != exact(without_owned(resource)):
            different.append(name)
    import pprint; pprint.pprint(refused)
    assert refused == BREAK_R4
    assert not different
    assert len(seen) == 727


def exact(value: Any) -> Any:
    """Return the value with decimals by value and precision, and without the order of properties."""
    if isinstance(value, dict):
        return {name: exact(each) for name, each in value.items()}
    if isinstance(value, list):
        return [exact(each) for each in value]
    as_tuple = getattr(value, "as_tuple", None)
    return (type(value).__name__, as_tuple() if as_tuple else value)
