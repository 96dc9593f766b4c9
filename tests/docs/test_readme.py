"""The README's first session is run as it stands, against an instance of its own."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.fire.instance import ROOT, up


def session() -> str:
    text = (ROOT / "README.md").read_text()
    [block] = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return str(block)


def run(script: str, environment: dict[str, str]) -> list[dict]:
    """Run the session with each answer on a line of its own; a command that fails ends it."""
    lines = script.replace("curl -sf", "curl -sf -w '\\n'")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def test_the_first_session_of_the_readme_works(tmp_path: Path) -> None:
    with up(tmp_path / "instance", "--no-demo", WEB_PROCESSES="1", ENVIRONMENT="test") as instance:
        environment = instance.environment | {"CLARITY_DATA": str(instance.data), "PORT": str(instance.port)}
        script = session().replace("127.0.0.1:8000", f"127.0.0.1:{instance.port}")
        patient, heart_rate, twin, found, audit = run(script, environment)
        assert patient["id"] == "ada"
        assert heart_rate["valueQuantity"]["value"] == 62
        assert twin["code"]["coding"][0]["code"] == "digital-twin-state"
        assert [entry["resource"]["id"] for entry in found["entry"]] == [twin["id"]]
        assert {entry["resource"]["resourceType"] for entry in audit["entry"]} == {"AuditEvent"}
        again = run(script, environment)
        assert again[1]["id"] == heart_rate["id"]
        assert again[2]["meta"]["versionId"] == twin["meta"]["versionId"]
