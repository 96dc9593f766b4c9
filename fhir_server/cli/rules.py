"""`rules`: alert rules of a tenant, a rule in a file, a rule over past days, and all of ours over demo cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.auth.principals import worker_principal
from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, results
from fhir_server.cli.tenant import TenantName, with_tenant
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError, Issue
from fhir_server.interactions.address import parse_address
from fhir_server.interactions.call import Call, Limits
from fhir_server.kit import ids, json
from fhir_server.operations.alerting import evidence, simulate
from fhir_server.settings import ROOT
from fhir_server.storage.tenants import Tenant
from workers.demo import alerts as demo
from workers.demo.evaluate import SEEDS
from workers.demo.generate import DAYS, PATIENTS
from workers.rules import plan
from workers.twin.codes import profile

PAGE = ROOT / "docs" / "rules.md"
Rule = Annotated[str, typer.Argument(metavar="RULE", help="Id of a stored PlanDefinition, or a JSON file with one.")]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="PlanDefinitions as JSON.", exists=True, dir_okay=False)
]
Start = Annotated[str | None, typer.Option("--start", help="First local day; 90 days when not given.")]
End = Annotated[str | None, typer.Option("--end", help="Last local day; yesterday when not given.")]
Patient = Annotated[
    list[str] | None, typer.Option("--patient", help="Id of a patient; several may be given, else everybody.")
]
Write = Annotated[bool, typer.Option("--write", help="Also write the table into docs/rules.md.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Seed of a cohort; several may be given.")]
People = Annotated[int, typer.Option("--patients", min=2, max=1000, help="Patients of a cohort.")]

app = typer.Typer(
    no_args_is_help=True, help="Alert rules: list, check, simulate over past days, evaluate on demo cohorts."
)


@app.command("list")
def list_rules(*, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """List the alert rules of a tenant, also those that are switched off."""
    settings = read_settings(data, port)
    base = settings.canonical_base

    async def found(of: Tenant) -> list[dict[str, Any]]:
        rows = await evidence.found(
            of, "PlanDefinition", [("_profile", profile(plan.PROFILE, base)), ("_count", "200")]
        )
        return [_row(json.decode_trusted(row.body), base) for row in rows]

    rows = sorted(with_tenant(settings, tenant, found), key=lambda row: str(row["id"]))
    if as_json:
        print_json(rows)
        return
    table = Table("id", "status", "priority", "condition", "problem")
    for row in rows:
        table.add_row(row["id"], row["status"], row["priority"], row["condition"], row["problem"])
    results.print(table)


def _row(resource: dict[str, Any], base: str) -> dict[str, Any]:
    rule, issues = plan.read(resource, base)
    return {
        "id": resource["id"],
        "status": resource.get("status", ""),
        "priority": rule.priority if rule else "",
        "condition": rule.condition.text if rule else "",
        "problem": issues[0].text if issues else "",
    }


@app.command()
def check(files: Files, *, as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """Say what is wrong with rules in files, as a server would when they are stored."""
    base, found = read_settings(data, port).canonical_base, dict[str, list[Issue]]()
    for file in files:
        found[str(file)] = _issues(file, base)
    if as_json:
        print_json({name: [issue.as_fhir() for issue in issues] for name, issues in found.items()})
    else:
        for name, issues in found.items():
            for issue in issues:
                results.print(f"{name}: {issue.expression}: {issue.text}", markup=False, soft_wrap=True)
            if not issues:
                results.print(f"{name}: can be evaluated", markup=False, soft_wrap=True)
    if any(found.values()):
        raise typer.Exit(1)


def _issues(file: Path, base: str) -> list[Issue]:
    try:
        resource = json.decode(file.read_bytes())
    except FhirError as error:
        return error.issues
    if not isinstance(resource, dict) or not plan.is_rule(resource, base):
        text = f"This is no PlanDefinition with the profile {profile(plan.PROFILE, base)}."
        return [Issue("invalid", "alert-rule-profile", text, "PlanDefinition.meta.profile")]
    return plan.read(resource, base)[1]


@app.command("simulate")
def simulate_rule(
    rule: Rule,
    *,
    start: Start = None,
    end: End = None,
    patient: Patient = None,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Print how often a rule would have fired over past days, and on whom; nothing is raised."""
    settings = read_settings(data, port)
    parts: list[dict[str, Any]] = [
        {"name": name, "valueDate": day} for name, day in (("start", start), ("end", end)) if day
    ]
    parts += [{"name": "patient", "valueId": id_} for id_ in patient or ()]
    path = f"PlanDefinition/{rule}/$simulate"
    if Path(rule).is_file():
        path = "PlanDefinition/$simulate"
        parts.append({"name": "rule", "resource": json.decode(Path(rule).read_bytes())})
    body = json.encode({"resourceType": "Parameters", "parameter": parts}) if parts else b""

    async def answered(of: Tenant) -> dict[str, Any]:
        ctx = RequestContext(of, await worker_principal(of), ids.request_id(), of.base)
        call = Call("POST", parse_address(path), body=body)
        call.limits = Limits(canonical_base=settings.canonical_base)
        result = await simulate.answer(ctx, call)
        found: dict[str, Any] = json.decode_trusted(result.body)
        return found

    found = with_tenant(settings, tenant, answered, FhirError)
    if as_json:
        print_json(found)
        return
    for line in _lines(found):
        results.print(line, markup=False, soft_wrap=True)


def _lines(found: dict[str, Any]) -> list[str]:
    """Return the figures, then who and when."""
    lines = []
    for each in found["parameter"]:
        if each["name"] == "patient":
            [who, *alerts] = each["part"]
            lines += [f"{who['valueReference']['reference']}  {alert['part'][0]['valueDateTime']}" for alert in alerts]
        elif "part" not in each:
            lines.append(f"{each['name']}: {next(value for name, value in each.items() if name != 'name')}")
    return lines


@app.command()
def evaluate(
    *,
    seed: Seeds = None,
    patients: People = PATIENTS,
    write: Write = False,
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Print alerts a patient-week, and how many were of an episode, for our rules on demo cohorts whose episodes are known."""
    _ = data, port  # every command takes them
    seeds = tuple(seed or SEEDS)
    by_rule, together = demo.evaluate(demo.cases(seeds, patients))
    if write:
        if not PAGE.is_file():
            fail(f"There is no {PAGE} to write into.")
        PAGE.write_text(
            demo.placed(PAGE.read_text("utf-8"), demo.table(by_rule, together, seeds, patients, DAYS)), "utf-8"
        )
    rows = {**{name: told.row() for name, told in by_rule.items()}, "all together": together.row()}
    if as_json:
        print_json({name: dict(zip(demo.HEADINGS, row, strict=True)) for name, row in rows.items()})
        return
    table = Table("rule", *demo.HEADINGS)
    for name, row in rows.items():
        table.add_row(name, *row)
    results.print(table)
