"""HEAD wherever GET works: the same status and headers, no body (R4 `http.html#head`, RFC 9110 §9.3.2)."""

from __future__ import annotations

import httpx
import pytest

from tests.http.client import Caller, caller, entry, observation

_ITS_OWN = ("x-request-id", "date")


async def same(who: Caller, path: str) -> int:
    """Send GET and HEAD; assert that they differ in the body only, and return the status."""
    get, head = (
        await who.get(path, accept_encoding="identity"),
        await who.send("HEAD", path, accept_encoding="identity"),
    )
    assert head.text == ""
    kept = [{name: value for name, value in each.headers.items() if name not in _ITS_OWN} for each in (get, head)]
    assert (head.status, kept[1]) == (get.status, kept[0])
    if get.status != 304:
        assert int(head.headers["content-length"]) == len(get.text.encode())
    return get.status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Observation/ID", 200), ("Observation/ID/_history/1", 200), ("Observation/ID/_history", 200),
        ("Observation/_history?_count=1", 200),
        ("Observation?_id=ID", 200), ("Observation?_id=ID&_summary=count", 200), ("metadata", 200),
        ("_history?_count=1", 200), ("Patient/1/Observation", 200), ("Observation/ID?_format=json&_pretty=true", 200),
        ("Observation/absent", 404), ("Observation/ID/_history/9", 404), ("Observation?nonsense=1", 400), ("Nonsense", 404),
        ("Observation/ID/$nonsense", 404), ("Observation/GONE", 410), ("$validate", 404),
    ],
)  # fmt: skip
async def test_like_get_without_a_body(system: Caller, path: str, status: int) -> None:
    made = await system.post("Observation", observation())
    gone = await system.post("Observation", observation())
    await system.delete(f"Observation/{gone.id}")
    assert await same(system, path.replace("ID", made.id).replace("GONE", gone.id)) == status


async def test_conditional_head(system: Caller) -> None:
    made = await system.post("Observation", observation())
    head = await system.send("HEAD", f"Observation/{made.id}", if_none_match='W/"1"')
    assert (head.status, head.text, head.headers["etag"]) == (304, "", 'W/"1"')


async def test_without_a_token(http: httpx.AsyncClient, system: Caller) -> None:
    nobody = await caller(http, system.tenant, None)
    assert await same(nobody, "Observation/1") == 401
    assert await same(nobody, "metadata") == 200


@pytest.mark.parametrize(
    "path",
    [
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/oauth2/jwks",
        "/fhir/.well-known/smart-configuration",
    ],
)
async def test_beside_fhir(http: httpx.AsyncClient, system: Caller, path: str) -> None:
    origin = "http://clarity.test"
    get, head = await http.get(origin + path), await http.head(origin + path)
    assert head.status_code == get.status_code == 200
    assert head.headers["content-type"] == get.headers["content-type"]


async def test_in_a_bundle(system: Caller) -> None:
    made = await system.post("Observation", observation())
    for kind in ("batch", "transaction"):
        for prefer in ("return=minimal", "return=representation"):
            done = await system.transaction(entry("HEAD", f"Observation/{made.id}"), kind=kind, prefer=prefer)
            [answer] = done.json["entry"]
            assert "resource" not in answer
            assert (answer["response"]["status"], answer["response"]["etag"]) == ("200 OK", 'W/"1"')
