"""A server in processes of its own with rate limits on, as it runs, and what the clients sign in with."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.auth.flow.browser import Browser
from tests.fire.instance import PYTHON, Up, up
from tests.house.tree import ROOT

SCOPE = "launch/patient openid fhirUser offline_access patient/*.cruds"


@dataclass
class Instance:
    """The server, and somebody who may sign in at it."""

    up: Up
    login: str
    password: str
    patient: str

    @property
    def base(self) -> str:
        return self.up.base

    def clarity(self, *words: str) -> Any:
        """Run a command of ours and return what it prints as JSON."""
        command = [*PYTHON, *words, "--json", "--data", str(self.up.data)]
        done = subprocess.run(command, env=self.up.environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def backend(self, name: str) -> tuple[str, str]:
        """Register a backend service; return its id and secret."""
        made = self.clarity("clients", "add", "--id", name, "--name", name, "--scope", "system/*.cruds")
        return made["client_id"], made["client_secret"]

    def app(self, name: str, redirect_uri: str) -> str:
        """Register a public app that people open."""
        words = ("--id", name, "--name", name, "--public", "--redirect-uri", redirect_uri, "--scope", SCOPE)
        return str(self.clarity("clients", "add", *words)["client_id"])


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One server for all clients, with a doctor who has an account, and a patient of theirs."""
    folder: Path = tmp_path_factory.mktemp("clients") / "data"
    with up(folder, "--no-demo", "--processes", "1") as running:
        here = Instance(running, "dr-adeyemi", "", "ada")
        name, secret = here.backend("setting-up")
        _set_up(here, name, secret)
        words = ("--role", "psychiatrist", "--fhir-user", "Practitioner/adeyemi")
        account = here.clarity("users", "add", here.login, *words)
        here.password = account["password"]
        yield here


async def opened(here: Instance, url: str) -> str:
    """Open an app as the person: sign in, choose the patient, allow everything; return where the browser is sent."""
    b = Browser(None)
    await b.http.aclose()
    async with httpx.AsyncClient(timeout=60) as b.http:
        page = await b.sign_in(await b.open(url), here.login, here.password)
        page = await b.submit(page, page.form("patient", patient=here.patient))
        done = await b.submit(page, page.form("consent"), decision="allow")
    return str(done.response.headers["location"])


def _set_up(here: Instance, name: str, secret: str) -> None:
    token = httpx.post(
        here.base.replace("/fhir", "/oauth2/token"),
        data={"grant_type": "client_credentials", "scope": "system/*.cruds"}, auth=(name, secret),
    ).json()["access_token"]  # fmt: skip
    doctor = {"resourceType": "Practitioner", "id": "adeyemi", "name": [{"family": "Adeyemi"}]}
    ada = {
        "resourceType": "Patient", "id": "ada", "name": [{"family": "Lovelace", "given": ["Ada"]}],
        "generalPractitioner": [{"reference": "Practitioner/adeyemi"}],
    }  # fmt: skip
    for each in (doctor, ada):
        url = f"{here.base}/{each['resourceType']}/{each['id']}"
        answer = httpx.put(url, json=each, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 201, answer.text


@dataclass
class Node:
    """Runs JavaScript with the pinned packages."""

    program: Path
    packages: Path

    def start(self, script: str, **given: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "NODE_PATH": str(self.packages), "PACKAGES": str(self.packages), **given}
        command = [str(self.program), str(ROOT / "tests" / "clients" / script)]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )


def deployed(name: str) -> ModuleType:
    """Return the script of `deploy/` that installs something for tests."""
    spec = importlib.util.spec_from_file_location(f"deploy_{name}", ROOT / "deploy" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def node() -> Node:
    """Node with the packages of package-lock.json; without them the tests are skipped, and fail in CI."""
    npm = deployed("npm")
    if not npm.installed():
        pytest.skip("the JavaScript clients are not installed: run .venv/bin/python deploy/npm.py")
    return Node(npm.node(), npm.PLACE / "node_modules")
