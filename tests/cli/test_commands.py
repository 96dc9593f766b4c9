"""What all commands share: names, options, exit codes, secrets that stay secret."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fhir_server.cli import probe
from fhir_server.cli.conformance import PUBLIC
from fhir_server.cli.main import COMMANDS, application
from fhir_server.settings import Settings
from tests.shared_data import shared


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")


def run(*words: str) -> Any:
    return CliRunner().invoke(application(words[0]), list(words))


def leaves() -> list[tuple[str, Any]]:
    group = typer.main.get_command(application(None))
    return list(below("", group))


def below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    for name, sub in (inner or {}).items():
        yield from below(f"{path} {name}".strip(), sub)


def test_the_commands_are_those_that_were_asked_for() -> None:
    asked = "up serve worker load ingest token clients users messages letters events doctor bench conformance test"
    assert set(COMMANDS) == {*asked.split(), "twin", "models", "rules", "deidentify"}


@pytest.mark.parametrize(("name", "command"), leaves(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_takes_a_data_folder_and_a_port(name: str, command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--data", "--port"} <= options
    assert command.help


def test_doctor_masks_secrets_and_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "much-too-short")
    monkeypatch.setenv("DATABASE_URL", "postgres://clarity:hunter2@127.0.0.1:1/clarity")
    done = run("doctor", "--json", "--data", str(tmp_path / "data"))
    assert done.exit_code == 1
    assert "much-too-short" not in done.output
    assert "hunter2" not in done.output
    found = json.loads(done.stdout)
    assert any("JWT_SECRET_KEY is shorter" in problem for problem in found["problems"])
    assert any("cannot be used" in problem for problem in found["problems"])
    values = {row["name"]: row["value"] for row in found["settings"]}
    assert values["JWT_SECRET_KEY"] == "********"
    assert values["DATABASE_URL"] == "postgresql://clarity:********@127.0.0.1:1/clarity"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"OPENAI_BASE_URL": "http://evil.example/v1", "MENTALLAMA_MODEL_MAPPINGS": '{"default": "x"}'},
            "plain http to another machine",
        ),
        ({"OPENAI_BASE_URL": "https://models.example/v1"}, "MENTALLAMA_MODEL_MAPPINGS names no model for clinical"),
        (
            {
                "S3_BUCKET": "b",
                "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
                "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "y",
            },
            "S3_BUCKET b",
        ),
    ],
)
def test_doctor_says_what_would_be_refused_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, str], said: str
) -> None:
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    done = run("doctor", "--json", "--data", str(tmp_path / "data"))
    assert done.exit_code == 1
    assert any(said in problem for problem in json.loads(done.stdout)["problems"])


def test_doctor_names_a_setting_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENTALLAMA_MODEL_MAPPINGS", "[1]")
    monkeypatch.setenv("MAX_BUNDLE_ENTRIES", "0")
    done = run("doctor", "--json")
    assert done.exit_code == 1
    text = " ".join(json.loads(done.stdout)["problems"])
    assert "MENTALLAMA_MODEL_MAPPINGS" in text
    assert "MAX_BUNDLE_ENTRIES" in text


def test_doctor_says_when_keys_are_open_to_others(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    (tmp_path / "keys").chmod(0o755)
    done = run("doctor", "--json", "--data", str(tmp_path))
    assert any("may be read by others" in problem for problem in json.loads(done.stdout)["problems"])


def test_masking() -> None:
    assert probe.masked(None) == ""
    assert probe.masked(["a", "b"]) == "a,b"
    assert probe.masked("redis://:s3cret@h:1/0") == "redis://:********@h:1/0"
    assert probe.masked("postgresql://u:p@ss:w/x@h/db") == "postgresql://u:********@h/db"
    assert (
        probe.masked("postgresql:///db?user=u&password=s3cret&host=h")
        == "postgresql:///db?user=u&password=********&host=h"
    )
    assert probe.masked("unix:///run/redis.sock") == "unix:///run/redis.sock"


def test_a_command_that_needs_an_instance_makes_none(tmp_path: Path) -> None:
    for words in (("token", "--scope", "system/*.rs"), ("clients", "list"), ("worker",)):
        done = run(*words, "--data", str(tmp_path / "data"))
        assert done.exit_code == 1
        assert "./clarity up" in done.output
    assert not (tmp_path / "data").exists()


def test_a_key_of_a_client_that_was_not_added_is_not_left_behind(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    words = ("--name", "hub", "--scope", "system/*.rs", "--generate", str(key), "--data", str(tmp_path / "data"))
    assert run("clients", "add", *words).exit_code == 1
    assert not key.exists()
    key.write_text("mine")
    assert run("clients", "add", *words).exit_code == 1
    assert key.read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ("conformance", "nonsense"),
        ("bench", "nonsense"),
        ("up", "--port", "0"),
        ("token",),
        ("load", "/there/is/no/such/file"),
    ],
    ids=" ".join,
)
def test_what_is_asked_wrongly_ends_with_2(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    assert run(*words).exit_code == 2


def test_conformance_prints_a_suite_as_json() -> None:
    shared("fhirpath-r4")
    done = run("conformance", "fhirpath-r4", "--json")
    found = json.loads(done.stdout)["fhirpath-r4"]
    assert done.exit_code == 0
    assert found["total"] == 935
    assert found["passed"] + len(found["exceptions"]) == 935


def test_conformance_says_what_is_not_built_and_fails_for_what_is_not_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    runners = {"patch": lambda: {"passed": 1, "total": 3, "exceptions": {"a": "why"}}}
    monkeypatch.setattr("fhir_server.cli.conformance.find_runners", lambda: runners)
    done = run("conformance", "--json")
    found = json.loads(done.stdout)
    assert set(found) == set(PUBLIC)
    assert found["us-core"] == "not built"
    assert done.exit_code == 1


def test_unsafe_production_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    done = run("up", "--data", str(tmp_path))
    assert done.exit_code == 2
    assert not (tmp_path / "postgres").exists()


def test_a_start_that_cannot_be_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("up", "--data", str(tmp_path / "file" / "data"))
    assert (done.exit_code, "is no folder" in done.output) == (2, True)
    monkeypatch.setenv("TENANTS", "default,Not A Name")
    done = run("up", "--data", str(tmp_path / "data"))
    assert (done.exit_code, "'Not A Name'" in done.output) == (2, True)
    monkeypatch.setenv("TENANTS", "default")
    monkeypatch.setenv("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x")
    done = run("up", "--data", str(tmp_path / "data"), "--port", "8397")
    assert (done.exit_code, "cannot be used" in done.output, "hunter2" in done.output) == (1, True, False)
    assert not (tmp_path / "data" / "postgres").exists()
