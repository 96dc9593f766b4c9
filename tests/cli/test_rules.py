"""`rules`: what is wrong with a file, and what a start leaves to the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from fhir_server.cli import published
from fhir_server.cli.main import application
from fhir_server.interactions import commands
from fhir_server.kit import json
from fhir_server.storage import reads
from fhir_server.storage.commands import PUT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.psych.rules import RULES, plan

BASE = "https://site.example"


def run(*words: str) -> Any:
    return CliRunner().invoke(application("rules"), ["rules", *words])


def written(folder: Path, name: str, **more: Any) -> str:
    made = plan(RULES[0]) | more
    (folder / name).write_bytes(json.encode(made))
    return str(folder / name)


def test_a_rule_in_a_file_is_checked(tmp_path: Path) -> None:
    good = run("check", written(tmp_path, "good.json"), "--data", str(tmp_path))
    assert (good.exit_code, "can be evaluated" in good.output) == (0, True)
    bad = run("check", written(tmp_path, "bad.json", url=""), written(tmp_path, "good.json"), "--data", str(tmp_path))
    assert bad.exit_code == 1
    assert "PlanDefinition.url" in bad.output
    other = run("check", written(tmp_path, "other.json", meta={}), "--json", "--data", str(tmp_path))
    assert other.exit_code == 1
    assert "alert-rule-profile" in other.output
    (tmp_path / "none.json").write_text("{")
    assert run("check", str(tmp_path / "none.json"), "--data", str(tmp_path)).exit_code == 1


async def test_what_a_site_did_to_a_rule_stays(tenant: Tenant) -> None:
    there = [await reads.read(tenant, "PlanDefinition", f"alert-{each.name}", EVERYTHING) for each in RULES]
    plans = [plan(each, BASE) for each in RULES]
    kept = {each.id: each for each in there if each is not None}  # by other tests
    await commit(
        tenant,
        [commands.build(tenant, p, p["id"], current=kept.get(p["id"]), http_method=PUT) for p in plans],
    )
    assert await published.rules(tenant, BASE) == []

    async def stored(id_: str) -> reads.Stored:
        found = await reads.read(tenant, "PlanDefinition", id_, EVERYTHING)
        assert found is not None
        return found

    off, gone, old = (f"alert-{name}" for name in ("inactivity", "self-harm", "device-silence"))
    changes = []
    for id_, more in ((off, {"status": "retired"}), (old, {"status": "retired", "version": "0.9.0", "title": "Older"})):
        current = await stored(id_)
        changed = json.decode_trusted(current.body) | more
        changes.append(commands.build(tenant, changed, id_, current=current, http_method=PUT))
    changes.append(commands.build_delete(tenant, await stored(gone)))
    await commit(tenant, changes)
    [again] = await published.rules(tenant, BASE)
    assert again["id"] == old
    assert again["status"] == "retired", "a new version keeps the status that the site gave it"
    assert again["title"] != "Older"
    current = [await stored(f"alert-{each.name}") for each in RULES]
    ends = [commands.build_delete(tenant, each) for each in current if not each.deleted]
    await commit(tenant, ends)
