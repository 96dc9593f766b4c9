"""Settings are read, refused and generated as their one-line meanings say."""

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from fhir_server import settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("CLARITY_DATA", raising=False)
    monkeypatch.setitem(settings.Settings.model_config, "env_file", tmp_path / ".env")


def test_the_environment_the_file_and_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('PORT=9001\nMENTALLAMA_MODEL_MAPPINGS={"note": "m1"}\n')
    monkeypatch.setenv("TENANTS", "default, clinic_b")
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@h/d")
    read = settings.load(host=None, data=tmp_path)
    assert (read.port, read.tenants, read.database_url) == (9001, ["default", "clinic_b"], "postgresql://u:p@h/d")
    assert read.mentallama_model_mappings == {"note": "m1"}
    assert settings.load(port=9002).origin == "http://127.0.0.1:9002"


@pytest.mark.parametrize(("name", "value"), [("DATABASE_URL", "mysql://h/d"), ("REDIS_URL", "h:6379"), ("PORT", "0")])
def test_what_cannot_be_right_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        settings.load()


def test_empty_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET_KEY", "BASE_URL"):
        monkeypatch.setenv(name, "")
    read = settings.load()
    assert (read.database_url, read.redis_url, read.jwt_secret_key, read.base_url) == (None, None, None, None)


def test_production_names_everything_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("PHI_SANITIZATION_ENABLED", "false")
    found = " ".join(settings.load().problems())
    assert all(name in found for name in ("JWT_SECRET_KEY", "BASE_URL", "PHI_SANITIZATION_ENABLED"))
    monkeypatch.setenv("JWT_SECRET_KEY", "k" * 40)
    monkeypatch.setenv("BASE_URL", "https://fhir.example.org/")
    monkeypatch.setenv("PHI_SANITIZATION_ENABLED", "true")
    assert settings.load().problems() == []
    assert settings.load().origin == "https://fhir.example.org"


def test_the_generated_secret_is_private_and_stays(tmp_path: Path) -> None:
    read = settings.load(data=tmp_path / "data")
    first = read.secret()
    assert len(first) >= 48
    assert read.secret() == first
    assert stat.S_IMODE((tmp_path / "data" / "jwt_secret_key").stat().st_mode) == 0o600


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "visible-to-nobody-at-all-in-here")
    assert "visible" not in repr(settings.load())
