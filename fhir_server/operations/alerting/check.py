"""What is asked of alert rules and of their overrides when they are written: that the workers will be able to evaluate them.

Hung onto the tenant by the composition root (`Tenant.checks`), since what writes resources knows no workers.
"""

from __future__ import annotations

from fhir_server.context import RequestContext
from fhir_server.errors import Unprocessable
from fhir_server.interactions.call import Json
from fhir_server.kit import json
from fhir_server.search import run
from fhir_server.storage.commands import Command
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.rules import override, plan
from workers.rules.rule import Rule


def use(tenant: Tenant, base: str) -> None:
    """Let what is written about alert rules be checked, beside what is checked already."""

    async def rule(_: RequestContext, command: Command) -> None:
        _rule(command.resource or {}, base)

    async def basic(ctx: RequestContext, command: Command) -> None:
        await _override(ctx, command.resource or {}, base)

    tenant.check("alert rules", {"PlanDefinition": rule, "Basic": basic})


def _rule(resource: Json, base: str) -> None:
    """Refuse a rule that could not be evaluated, with everything that is wrong with it; one that is retired is nobody's concern."""
    if not plan.is_rule(resource, base) or resource.get("status") == "retired":
        return
    _, issues = plan.read(resource, base)
    if issues:
        raise Unprocessable(issues[0].text, issues[0].id, issues=issues)


async def _override(ctx: RequestContext, resource: Json, base: str) -> None:
    if not override.is_override(resource, base):
        return
    issues = override.issues(resource, await _named(ctx, override.read(resource, base).rule, base), base)
    if issues:
        raise Unprocessable(issues[0].text, issues[0].id, issues=issues)


async def _named(ctx: RequestContext, url: str, base: str) -> Rule | None:
    """Return the active rule of a url; rules are no patient's, so whoever writes about one may know of it."""
    query = [("url", url), ("status", "active"), ("_count", "1")]
    page = await run.search(ctx, "PlanDefinition", query, visibility=EVERYTHING) if url else None
    if page is None or not page.rows:
        return None
    resource = json.decode_trusted(page.rows[0].body)
    return plan.read(resource, base)[0] if plan.is_rule(resource, base) else None
