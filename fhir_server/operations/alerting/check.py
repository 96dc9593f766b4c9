"""What is asked of alert rules and of their overrides when they are written: that the workers will be able to evaluate them, and
that who puts a rule into effect, or changes one that is, may decide that for everybody.

Hung onto the tenant by the composition root (`Tenant.checks`), since what writes resources knows no workers.
"""

from __future__ import annotations

from fhir_server.auth.launch_scopes import ALERT_RULES
from fhir_server.context import RequestContext
from fhir_server.errors import Forbidden, Unprocessable
from fhir_server.interactions.call import Json
from fhir_server.kit import json
from fhir_server.search import run
from fhir_server.storage import reads
from fhir_server.storage.commands import Command
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.rules import override, plan
from workers.rules.rule import Rule


def use(tenant: Tenant, base: str) -> None:
    """Let what is written about alert rules be checked, beside what is checked already."""

    async def rule(ctx: RequestContext, command: Command) -> None:
        _rule(command.resource or {}, base)
        await _decided(ctx, command, base)

    async def basic(ctx: RequestContext, command: Command) -> None:
        await _override(ctx, command.resource or {}, base)

    tenant.check("alert rules", {"PlanDefinition": rule, "Basic": basic}, removals=["PlanDefinition"])


def _rule(resource: Json, base: str) -> None:
    """Refuse a rule that could not be evaluated, with everything that is wrong with it; one that is retired is nobody's concern."""
    if not plan.is_rule(resource, base) or resource.get("status") == "retired":
        return
    _, issues = plan.read(resource, base)
    if issues:
        raise Unprocessable(issues[0].text, issues[0].id, issues=issues)


async def _decided(ctx: RequestContext, command: Command, base: str) -> None:
    """Refuse what would put a rule into effect, change or end one that is, to whoever may not decide that: a draft is anybody's."""
    if may_decide(ctx) or not (_in_effect(command.resource or {}, base) or await _was_in_effect(ctx, command, base)):
        return
    text = (
        "It would change which alerts are raised, for everybody. That takes the scope __alert-rules: an administrator registers"
        " services with it, psychiatrists and administrators lend it to their apps. As a draft it is stored, may be simulated, and"
        " raises nothing."
    )
    raise Forbidden(text, "alert-rule-right", "PlanDefinition.status")


def may_decide(ctx: RequestContext) -> bool:
    """Tell whether the caller may decide which rules are in effect: by name, or as a service that may change everything."""
    scopes = ctx.principal.scopes
    everything = any(s.level == "system" and s.type == "*" and "u" in s.letters and not s.filters for s in scopes)
    return everything or ALERT_RULES in ctx.principal.special


def _in_effect(resource: Json, base: str) -> bool:
    return plan.is_rule(resource, base) and resource.get("status") == "active"


async def _was_in_effect(ctx: RequestContext, command: Command, base: str) -> bool:
    if not command.expected:
        return False
    name = command.type, command.id
    before = (await reads.read_many(ctx.tenant, [name], {command.type: EVERYTHING})).get(name)
    return before is not None and not before.deleted and _in_effect(json.decode_trusted(before.body), base)


async def _override(ctx: RequestContext, resource: Json, base: str) -> None:
    if not override.is_override(resource, base):
        return
    if not _treats(ctx):
        text = (
            "Which alerts are raised about somebody is decided by who treats them: staff who signed in, or a service."
        )
        raise Forbidden(text, "alert-override-person", "Basic.code")
    issues = override.issues(resource, await _named(ctx, override.read(resource, base).rule, base), base)
    if issues:
        raise Unprocessable(issues[0].text, issues[0].id, issues=issues)


def _treats(ctx: RequestContext) -> bool:
    """Tell whether the caller is a service, or an app of staff: a patient's or relative's would silence what is about them."""
    staff = (ctx.principal.user or "").startswith(("Practitioner/", "PractitionerRole/"))
    return staff or any(scope.level == "system" for scope in ctx.principal.scopes)


async def _named(ctx: RequestContext, url: str, base: str) -> Rule | None:
    """Return the active rule of a url; rules are no patient's, so whoever writes about one may know of it."""
    query = [("url", url), ("status", "active"), ("_count", "1")]
    page = await run.search(ctx, "PlanDefinition", query, visibility=EVERYTHING) if url else None
    if page is None or not page.rows:
        return None
    resource = json.decode_trusted(page.rows[0].body)
    return plan.read(resource, base)[0] if plan.is_rule(resource, base) else None
