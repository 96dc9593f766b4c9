"""Dockerfile and docker-compose.yml agree with the code, as far as can be told without an engine."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from fhir_server.cli.main import COMMANDS
from fhir_server.settings import Settings
from tests.house.tree import CODE, ROOT, code, name

SETTINGS = {"CLARITY_DATA" if name == "data" else name.upper() for name in Settings.model_fields}
NOT_OURS = re.compile(r"PYTHON|PIP_")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def docker_lines() -> list[list[str]]:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]


def test_compose_has_the_four_services(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "redis", "web", "worker"}
    assert compose["services"]["postgres"]["image"] == "postgres:18"


def test_every_variable_is_a_setting(compose: dict[str, Any]) -> None:
    for service in ("web", "worker"):
        assert set(compose["services"][service]["environment"]) <= SETTINGS
        assert (ROOT / compose["services"][service]["build"]["dockerfile"]).exists()
    given = [word for kind, rest in docker_lines() if kind == "ENV" for word in re.findall(r"(\w+)=", rest)]
    assert {name for name in given if not NOT_OURS.match(name)} <= SETTINGS


def test_every_command_is_one_of_ours(compose: dict[str, Any]) -> None:
    commands = [compose["services"][name]["command"] for name in ("web", "worker")]
    commands += [eval(rest) for kind, rest in docker_lines() if kind == "CMD"]  # a JSON array
    for command in commands:
        assert command[:3] == ["python", "-m", "fhir_server"]
        assert command[3] in COMMANDS


def test_production_settings_of_compose_are_accepted(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"JWT_SECRET_KEY": "s" * 64, "POSTGRES_PASSWORD": "p4ss"}
    for variable, value in compose["services"]["web"]["environment"].items():
        text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: chosen[match[1]], str(value))
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    read = Settings(_env_file=None)
    assert read.environment == "production"
    assert read.problems() == []
    assert read.database_url == "postgresql://clarity:p4ss@postgres:5432/clarity"


def test_what_compose_depends_on_is_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        volumes = [volume.split(":")[0] for volume in service.get("volumes", ())]
        assert set(volumes) <= set(compose["volumes"])


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for kind, rest in docker_lines():
        if kind != "COPY":
            continue
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert PurePosixPath(source).parts[:1] not in [(name,) for name in ignored]


def test_the_image_runs_as_an_ordinary_user() -> None:
    lines = docker_lines()
    assert ["USER", "clarity"] in lines
    assert lines.index(["USER", "clarity"]) < next(number for number, line in enumerate(lines) if line[0] == "CMD")


def test_the_pins_are_exact() -> None:
    command = [sys.executable, str(ROOT / "deploy" / "pins.py"), "dev"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert all(re.fullmatch(r"[\w.\-\[\]]+==[\w.]+", pin) for pin in printed)
    assert len(printed) > 20


MAKES_MODELS = ("workers/ml/pat/", "workers/ml/tabular/", "workers/ml/forecast/", "workers/ml/evaluate/")
"""Rooms that may use the extra `models`; that serving does not reach them is an import contract."""


def test_every_library_that_the_code_imports_is_pinned() -> None:
    """What is there only because something else needs it may be gone tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    always, models = (
        {re.split(r"[\[=]", pin)[0].lower().replace("_", "-") for pin in pins}
        for pins in (project["dependencies"], project["optional-dependencies"]["models"])
    )
    owners = packages_distributions()
    missing = set()
    for path in code():
        for module in imported(path) - set(sys.stdlib_module_names) - set(CODE):
            names = {owner.lower().replace("_", "-") for owner in owners.get(module, [module])}
            if not names & (always | models if name(path).startswith(MAKES_MODELS) else always):
                missing.add(f"{name(path)} imports {module}")
    assert not missing


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_shell_scripts_are_well_formed() -> None:
    for script in ("clarity", ".ci/run"):
        subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
        assert (ROOT / script).stat().st_mode & 0o111
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith('clarity" test')
