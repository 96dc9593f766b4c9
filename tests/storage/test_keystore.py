"""Keys outlive processes, are never shared by accident, and are gone when destroyed."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.storage import codec, index_keys
from fhir_server.storage.keystore import InvalidSeal, KeyDestroyed, KeyMissing, Keystore


def allocate(folder: Path, count: int) -> list[int]:
    store = Keystore(folder, "default")
    return [store.allocate() for _ in range(count)]


def test_another_process_opens_what_this_one_encrypted(tmp_path: Path) -> None:
    one = Keystore(tmp_path, "default")
    key_id = one.allocate()
    sealed = codec.encode(b'{"a":1}', one.get(key_id), b"where")
    other = Keystore(tmp_path, "default")
    assert codec.decode(sealed, other.get(key_id), b"where") == b'{"a":1}'
    assert other.index_secret == one.index_secret
    assert other.open(one.seal(b"x", b"y"), b"y") == b"x"


def test_four_processes_never_get_the_same_key(tmp_path: Path) -> None:
    Keystore(tmp_path, "default")
    with multiprocessing.get_context("spawn").Pool(4) as workers:
        runs = workers.starmap(allocate, [(tmp_path, 150)] * 4)
    ids = [key_id for run in runs for key_id in run]
    assert len(set(ids)) == 600
    store = Keystore(tmp_path, "default")
    for key_id in ids:
        store.get(key_id)


def test_a_destroyed_key_is_gone_for_every_process_that_opens_the_store(tmp_path: Path) -> None:
    store = Keystore(tmp_path, "default")
    key_id = store.allocate()
    store.destroy(key_id)
    for opened in (store, Keystore(tmp_path, "default")):
        with pytest.raises(KeyMissing):
            opened.get(key_id)


def test_tenants_and_master_keys_do_not_mix(tmp_path: Path) -> None:
    one, other = Keystore(tmp_path, "one"), Keystore(tmp_path, "other")
    assert one.index_secret != other.index_secret
    with pytest.raises(InvalidSeal):
        other.open(one.seal(b"x"))
    (tmp_path / "one.master").write_bytes(bytes(32))
    with pytest.raises(KeyMissing):
        Keystore(tmp_path, "one")


@pytest.mark.parametrize("name", ["one.master", "one.keys"])
def test_key_files_are_for_their_owner_only(tmp_path: Path, name: str) -> None:
    Keystore(tmp_path, "one")
    assert (tmp_path / name).stat().st_mode & 0o077 == 0


@given(st.binary(max_size=2000), st.binary(max_size=40))
def test_a_body_opens_only_where_it_was_put(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, where: bytes
) -> None:
    store = Keystore(tmp_path_factory.getbasetemp() / "codec", "default")
    cipher = store.get(1) if store._path.stat().st_size > 64 else store.get(store.allocate())
    sealed = codec.encode(body, cipher, where)
    assert codec.decode(sealed, cipher, where) == body
    with pytest.raises(InvalidTag):
        codec.decode(sealed, cipher, where + b"!")


@given(st.integers(0, 32767), st.integers(0, 2**44 - 1), st.integers(0, 32767), st.text(max_size=20))
def test_references_and_hashes_never_meet(param: int, rid: int, other: int, text: str) -> None:
    packed = index_keys.pack(param, rid)
    assert 0 <= packed < 2**63
    assert packed >> 44 == param
    assert -(2**63) <= index_keys.hashed(b"secret", other, ("c", text)) < 0


def test_a_destroyed_key_is_gone_from_the_memory_of_other_processes_too(tmp_path: Path) -> None:
    here, there = Keystore(tmp_path, "default"), Keystore(tmp_path, "default")
    key_id = here.allocate()
    there.get(key_id)
    here.destroy(key_id)
    with pytest.raises(KeyDestroyed):
        there.get(key_id)
    assert there.destroyed(key_id)


def test_a_key_that_is_not_here_is_not_taken_for_a_destroyed_one(tmp_path: Path) -> None:
    store = Keystore(tmp_path, "default")
    for key_id in (store.allocate() + 1000, 0xFFFF_FFFF):
        with pytest.raises(KeyMissing) as error:
            store.get(key_id)
        assert not isinstance(error.value, KeyDestroyed)
        assert not store.destroyed(key_id)
