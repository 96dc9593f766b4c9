"""The embedded servers come back after every kind of sudden end."""

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import pytest
import redis

from fhir_server.cli.postgres import EmbeddedPostgres
from fhir_server.cli.redis_server import EmbeddedRedis


def ask(url: str, sql: str) -> object:
    async def once() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(once())


@pytest.fixture
def server(tmp_path: Path):
    postgres = EmbeddedPostgres(tmp_path / "pg", lasting=False)
    postgres.start()
    yield postgres
    postgres.stop()


def test_it_is_version_18_and_acknowledges_only_what_is_on_disk(server: EmbeddedPostgres) -> None:
    assert str(ask(server.url, "SHOW server_version")).startswith("18")
    assert ask(server.url, "SHOW synchronous_commit") == "on"
    assert ask(server.url, "SHOW listen_addresses") == ""
    assert ask(server.url, "SHOW log_min_error_statement") == "panic"


def test_what_was_committed_survives_kill_9(server: EmbeddedPostgres) -> None:
    ask(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
    assert server.child.process is not None
    server.child.process.send_signal(signal.SIGKILL)
    server.child.process.wait()
    server.start()
    assert ask(server.url, "SELECT n FROM kept") == 7


def test_a_lock_whose_number_names_another_process_is_dropped(server: EmbeddedPostgres) -> None:
    server.child.stop()
    lock = server.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{server.data}\n1\n5432\n{server.sockets}\n\n  1  1\nready\n")
    server.start()
    assert ask(server.url, "SELECT 1") == 1


def test_a_server_left_behind_is_ended_first(server: EmbeddedPostgres) -> None:
    again = EmbeddedPostgres(server.folder, lasting=False)
    again.start()
    try:
        assert not server.child.running()
        assert ask(again.url, "SELECT 1") == 1
    finally:
        again.child.stop()


def test_the_data_of_tests_is_deleted(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "pg", lasting=False)
    postgres.start()
    folder = postgres.folder
    postgres.stop()
    assert not folder.exists()


def test_a_failed_start_says_what_the_log_says(server: EmbeddedPostgres) -> None:
    server.child.stop()
    with (server.data / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(RuntimeError, match="no_such_setting"):
        server.start()


def test_redis_answers_after_a_kill_and_takes_over_from_one_left_behind(tmp_path: Path) -> None:
    first = EmbeddedRedis(tmp_path / "redis")
    first.start()
    second = EmbeddedRedis(tmp_path / "redis")
    try:
        assert first.child.process is not None
        first.child.process.kill()
        first.child.process.wait()
        first.start()
        second.start()
        assert not first.child.running()
        client = redis.Redis.from_url(second.url)
        assert client.ping()
        assert str(client.info()["redis_version"]).startswith("6.2")
        client.close()
    finally:
        second.stop()
        first.stop()
