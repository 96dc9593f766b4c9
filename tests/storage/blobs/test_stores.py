"""Stores over a folder and over S3's protocol (moto, over HTTP): the same promises; rows, sweeping and erasure over both."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from fhir_server.settings import Settings
from fhir_server.storage.blobs import keep
from fhir_server.storage.blobs.stores import BlobMissing, Folder, Store, StoreAway
from fhir_server.storage.keystore import KeyDestroyed


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    ).create_bucket(Bucket="blobs")
    yield url
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path) -> Store:
    settings = {"environment": "test", "data": tmp_path}
    if request.param == "s3":
        url = request.getfixturevalue("s3")
        settings |= {
            "s3_bucket": "blobs",
            "aws_endpoint_url": url,
            "aws_access_key_id": "k",
            "aws_secret_access_key": "s",
        }
    return keep.store_of(Settings(**settings))


async def test_bytes_are_kept_in_parts_and_forgotten(store, unique):
    name = f"default/ab/{unique}"
    await store.put(name, bytes(range(256)) * 1000)
    assert await store.part(name, 255, 3) == b"\xff\x00\x01"
    assert await store.part(name, 255_999, 100) == b"\xff"
    await store.delete(name)
    await store.delete(name)
    with pytest.raises(BlobMissing):
        await store.part(name, 0, 1)


async def test_a_store_that_is_away_says_so(tmp_path):
    where = {
        "s3_bucket": "b",
        "aws_endpoint_url": "http://127.0.0.1:9",
        "aws_access_key_id": "k",
        "aws_secret_access_key": "s",
    }
    away = Settings(environment="test", data=tmp_path, **where)
    with pytest.raises(StoreAway):
        await keep.store_of(away).put("n", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreAway):
        await Folder(tmp_path / "file").put("a/b", b"x")


async def test_a_blob_comes_back_and_is_erased_with_its_key(tenant, store, monkeypatch):
    monkeypatch.setattr(tenant, "blobs", store)
    key = tenant.keystore.allocate()
    content = b"canary " * 30_000
    blob = await keep.put(tenant, "b1", 1, content, key)
    assert await keep.whole(tenant, blob) == content
    assert b"".join([piece async for piece in keep.pieces(tenant, blob, 65_530, 65_545)]) == content[65_530:65_545]
    assert b"canary" not in await store.part(blob.name, 0, 300_000)
    told = keep.pointer(tenant, "b1", blob)
    assert keep.pointed(tenant, "b1", told) == blob
    assert keep.pointed(tenant, "b2", told) is None
    assert keep.pointed(tenant, "b1", "AAAA") is None
    tenant.keystore.destroy(key)
    with pytest.raises(KeyDestroyed):
        await keep.whole(tenant, blob)
    assert await keep.sweep(tenant) >= 1
    with pytest.raises(BlobMissing):
        await store.part(blob.name, 0, 1)


async def test_a_blob_that_was_changed_is_not_given_out(tenant, store, monkeypatch):
    monkeypatch.setattr(tenant, "blobs", store)
    blob = await keep.put(tenant, "b3", 1, b"x" * 1000, tenant.keystore.allocate())
    data = bytearray(await store.part(blob.name, 0, 10_000))
    data[500] ^= 1
    await store.put(blob.name, bytes(data))
    with pytest.raises(keep.Changed):
        await keep.whole(tenant, blob)


async def test_what_nothing_points_to_is_swept(tenant, store, monkeypatch):
    monkeypatch.setattr(tenant, "blobs", store)
    blob = await keep.put(tenant, "never-committed", 1, b"x" * 10, tenant.keystore.allocate())
    await keep.sweep(tenant)
    assert await keep.whole(tenant, blob) == b"x" * 10
    await keep.sweep(tenant, "0 seconds")
    with pytest.raises(BlobMissing):
        await keep.whole(tenant, blob)
