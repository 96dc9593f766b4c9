"""JWK sets by URL: public addresses only, no redirects, no longer than Cache-Control says (attacks 62, 84, 87 to 89)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from fhir_server.auth import clients
from fhir_server.auth.client_keys import KeySetError
from fhir_server.auth.clients import ClientError
from fhir_server.auth.remote_keys import MAX_BYTES, RemoteKeys, lifetime
from fhir_server.kit import addresses, clock
from tests.auth.conftest import Service, key_set

CONTROLS = [
    ("max-age=60", 60), ("public, max-age=60", 60), ("Max-Age=60", 60), ("max-age=999999", 3600), ("max-age=0", 0),
    ("no-store, max-age=60", 0), ("no-cache", 0), ("", 0), ("private", 0), ("max-age=-5", 0), ("max-age=abc", 0),
]  # fmt: skip


@pytest.mark.parametrize(("header", "seconds"), CONTROLS)
def test_lifetime(header, seconds):
    assert lifetime(header) == seconds


@asynccontextmanager
async def serving(*answers: bytes):
    """A web server that gives these answers in turn, the last one for ever, and counts."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[min(len(seen), len(answers)) - 1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks", seen


def answer(body: str | bytes, *headers: str, status: str = "200 OK") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + data


@pytest.mark.smart(339, 341, 342)
async def test_fetched_and_kept_as_long_as_told(rsa, monkeypatch):
    async with serving(answer(key_set(rsa), "Cache-Control: max-age=60")) as (url, seen):
        remote = RemoteKeys(loopback=True)
        for _ in range(3):
            assert [key.kid for key in await remote.get(url)] == ["rsa-1"]
        assert len(seen) == 1
        now = clock.monotonic()
        monkeypatch.setattr(clock, "monotonic", lambda: now + 61)
        await remote.get(url)
        assert len(seen) == 2


@pytest.mark.smart(341)
async def test_not_kept_without_cache_control(rsa):
    async with serving(answer(key_set(rsa))) as (url, seen):
        remote = RemoteKeys(loopback=True)
        await remote.get(url)
        await remote.get(url)
        assert len(seen) == 2


async def test_redirects_are_not_followed(rsa):
    async with (
        serving(answer(key_set(rsa))) as (inner, inner_seen),
        serving(answer("", f"Location: {inner}", status="302 Found")) as (url, _),
    ):
        with pytest.raises(KeySetError, match="302"):
            await RemoteKeys(loopback=True).get(url)
        assert not inner_seen


BAD = [
    (answer("x" * (MAX_BYTES + 1)), "more than"),
    (answer("not json"), "not JSON"),
    (answer("{}"), "JWK set"),
    (answer("[" * 100_000), "more than"),
    (answer("", status="500 Oops"), "500"),
    (b"garbage\r\n\r\n", "cannot be fetched"),
    (b"", "cannot be fetched"),
]


@pytest.mark.parametrize(("data", "why"), BAD, ids=range(len(BAD)))
async def test_bad_answers(data, why):
    async with serving(data) as (url, _):
        with pytest.raises(KeySetError, match=why):
            await RemoteKeys(loopback=True).get(url)


async def test_in_production_nothing_inside_is_fetched(rsa):
    async with serving(answer(key_set(rsa))) as (url, seen):
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1"):
            inside = url.replace("http://127.0.0.1", f"https://{host}")
            with pytest.raises(KeySetError, match=r"not public|cannot be fetched"):
                await RemoteKeys().get(inside)
        assert not seen


@pytest.mark.parametrize("loopback", [True, False])
async def test_plain_http_is_for_the_desk_only(loopback):
    with pytest.raises(KeySetError, match="https"):
        await RemoteKeys(loopback=loopback).get("http://client.example/jwks")
    with pytest.raises(KeySetError, match="https"):
        await RemoteKeys().get("http://127.0.0.1:9/jwks")


async def test_a_name_that_leads_inside_a_moment_later_is_refused(rsa, monkeypatch):
    async with serving(answer(key_set(rsa))) as (url, seen):
        asked = []

        async def rebinding(host, port):
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

        monkeypatch.setattr(addresses, "resolve", rebinding)
        remote = RemoteKeys(loopback=True)
        url = url.replace("127.0.0.1", "localhost")
        await remote.get(url)
        with pytest.raises(KeySetError, match="not public"):
            await remote.get(url)
        assert len(seen) == 1


@pytest.mark.smart(296, 326, 339)
async def test_an_assertion_by_keys_at_a_url(tenant, rsa, ec, unique):
    async with serving(answer(key_set(rsa), "Cache-Control: max-age=60")) as (url, seen):
        client_id = f"url-{unique}"
        await clients.add(tenant, name="By URL", scope="system/*.rs", client_id=client_id, jwks_uri=url)
        service = Service(tenant, client_id, rsa, "RS384")
        assert (await service.ask(service.assertion())).status == 200
        assert (await service.ask(service.assertion(header=service.header(jku=url)))).status == 200
        refused = await service.ask(service.assertion(header=service.header(jku=url + "2")))
        assert "jku is not the URL" in refused.body["error_description"]
        assert len(seen) == 1


async def test_keys_that_cannot_be_fetched_refuse_the_client(tenant, rsa, unique):
    async with serving(answer("", status="404 Not Found")) as (url, _):
        await clients.add(tenant, name="x", scope="system/*.rs", client_id=f"gone-{unique}", jwks_uri=url)
        service = Service(tenant, f"gone-{unique}", rsa, "RS384")
        refused = await service.ask(service.assertion())
        assert (refused.status, refused.body["error"]) == (400, "invalid_client")


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://x/y",
        "javascript:alert(1)",
        "https://",
        "https://u:p@x/y",
        "https://x/y#z",
        "x",
        "https://x:99999/y",
        "https://x:abc/",
        "https://[::1/",
    ],
)
async def test_urls_that_cannot_be_registered(tenant, uri):
    with pytest.raises(ClientError):
        await clients.add(tenant, name="x", scope="system/*.rs", jwks_uri=uri)
