"""`users` and the launch options of `clients`, over the database of the tests."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhir_server.auth.people.roles import ROLES
from fhir_server.auth.principals import agent_id
from fhir_server.cli.main import application
from fhir_server.kit import clock
from fhir_server.settings import Settings
from fhir_server.storage import glass, ident
from fhir_server.storage.tenants import Tenant, connect


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, keys_dir: Path, tenants: dict[str, Tenant]):
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(Settings, "keys_dir", property(lambda _: keys_dir))

    def run(*words: str, code: int = 0, typed: str | None = None) -> Any:
        done = CliRunner().invoke(application(words[0]), [*words, "--data", str(tmp_path)], input=typed)
        assert done.exit_code == code, done.output
        return done

    return run


def test_a_person_from_first_to_last(run, unique: str) -> None:
    made = json.loads(
        run("users", "add", unique, "--role", "patient", "--fhir-user", "Patient/1", "--totp", "--json").stdout
    )
    assert (made["roles"], made["fhirUser"], made["second_factor"]) == (["patient"], "Patient/1", True)
    assert len(made["password"]) >= 12
    assert made["totp"].startswith("otpauth://totp/Clarity%3A")
    assert "patient" in run("users", "list").stdout
    changed = json.loads(run("users", "roles", unique, "--role", "clinician", "--role", "auditor", "--json").stdout)
    assert changed["roles"] == ["auditor", "clinician"]
    typed = json.loads(run("users", "passwd", unique, "--password-stdin", "--json", typed="a long enough one\n").stdout)
    assert "password" not in typed
    assert json.loads(run("users", "disable", unique, "--json").stdout)["disabled"] is True
    assert json.loads(run("users", "disable", unique, "--enable", "--json").stdout)["disabled"] is False
    kept = json.loads(run("users", "list", "--json").stdout)
    [shown] = [each for each in kept if each["login"] == unique]
    assert not {"password", "totp"} & shown.keys()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("users", "add", "x", "--role", "king"), "no role king"),
        (("users", "add", "x", "--role", "patient", "--fhir-user", "Observation/1"), "Practitioner"),
        (("users", "passwd", "nobody-ever"), "nobody with the login"),
        (("users", "roles", "nobody-ever", "--role", "patient"), "nobody with the login"),
        (("clients", "add", "--name", "x", "--scope", "openid", "--public"), "redirect URI"),
        (("clients", "add", "--name", "x", "--scope", "openid", "--redirect-uri", "javascript:1"), "https://host/path"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_refused_says_why(run, words: tuple[str, ...], says: str) -> None:
    assert says in " ".join(run(*words, code=1).output.split())


def test_the_roles_are_listed_with_their_rights(run) -> None:
    assert json.loads(run("users", "roles", "--json").stdout).keys() == ROLES.keys()


def test_a_public_app_gets_no_secret(run, unique: str) -> None:
    words = ("--name", "App", "--scope", "launch/patient patient/*.rs openid", "--public", "--id", f"app-{unique}")
    places = ("--redirect-uri", "https://app.example/cb", "--launch-url", "https://app.example/launch")
    made = json.loads(run("clients", "add", *words, *places, "--json").stdout)
    assert "client_secret" not in made
    assert (made["method"], made["redirect_uris"]) == ("none", ["https://app.example/cb"])
    assert made["launch_url"] == "https://app.example/launch"
    assert made["scope"] == "launch/patient openid patient/*.rs"


def test_emergencies_are_listed_with_their_reasons(run, unique: str, database_url: str, keys_dir: Path) -> None:
    now = clock.now()

    async def add() -> None:
        pool = await connect(database_url, min_size=1, max_size=1)
        tenant = Tenant("default", pool, keys_dir, "http://x/fhir")
        agent = await agent_id(tenant, "ehr", user="Practitioner/7", patient=None, scope=f"user/*.rs?{unique}")
        rid = (await ident.rids(tenant, [("Patient", unique)]))["Patient", unique]
        await glass.add(tenant, glass.Glass(agent, rid, now, now + timedelta(minutes=1), reason=f"because {unique}"))
        await pool.close()

    asyncio.run(add())
    found = json.loads(run("users", "emergencies", "--json", "--most", "5").stdout)
    [shown] = [each for each in found if each["patient"] == f"Patient/{unique}"]
    assert (shown["who"], shown["client"], shown["reason"]) == ("Practitioner/7", "ehr", f"because {unique}")
    assert "record" in run("users", "emergencies").stdout
