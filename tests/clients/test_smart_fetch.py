"""An application that SMART Health IT publishes, unmodified but for its configuration: smart-fetch, by Backend Services."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.conftest import Instance, deployed

TYPES = ("Patient", "Condition", "Encounter", "Observation")


@pytest.fixture(scope="session")
def smart_fetch() -> Path:
    """The application; without it the test is skipped, and fails in CI."""
    module = deployed("smart_fetch")
    if not module.installed():
        pytest.skip("smart-fetch is not installed: run .venv/bin/python deploy/smart_fetch.py")
    return Path(module.program())


def written(instance: Instance) -> dict[str, set[str]]:
    """Write into the record of the patient; return the ids by type."""
    token = instance.up.token("system/*.cruds")
    about = {"subject": {"reference": f"Patient/{instance.patient}"}}
    survey = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "survey"}
    made: list[dict[str, Any]] = [
        {"resourceType": "Condition", "code": {"text": "Depression"}, **about},
        {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, **about},
        *(
            {"resourceType": "Observation", "status": "final", "code": {"text": "PHQ-9"}, "valueInteger": score,
             "category": [{"coding": [survey]}], **about}
            for score in range(25)
        ),
    ]  # fmt: skip
    found: dict[str, set[str]] = {"Patient": {instance.patient}}
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for each in made:
            answer = client.post(f"{instance.base}/{each['resourceType']}", json=each)
            assert answer.status_code == 201, answer.text
            found.setdefault(each["resourceType"], set()).add(answer.json()["id"])
    return found


def test_smart_fetch_signs_in_by_its_key_and_fetches_the_record(
    instance: Instance, smart_fetch: Path, tmp_path: Path
) -> None:
    wanted = written(instance)
    name, key, out = f"smart-fetch-{secrets.token_hex(4)}", tmp_path / "key.jwks", tmp_path / "out"
    scope = " ".join(f"system/{type_}.rs" for type_ in TYPES)
    instance.clarity("clients", "add", "--id", name, "--name", name, "--scope", scope, "--generate", str(key))
    command = [
        str(smart_fetch), "crawl", str(out), "--fhir-url", instance.base, "--smart-client-id", name, "--smart-key", str(key),
        "--id-list", instance.patient, "--type", ",".join(TYPES),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for type_ in TYPES:
        lines = gzip.decompress((out / f"{type_}.ndjson.gz").read_bytes()).decode().splitlines()
        got = {each["id"]: each for each in map(json.loads, lines)}
        assert wanted[type_] <= set(got), type_
        assert len(got) == len(lines), "each once"
        assert all(each["resourceType"] == type_ for each in got.values())
