"""The alert rules of a tenant: its active PlanDefinitions of the profile `alert-rule`, read once for each version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from fhir_server.interactions.call import Json
from fhir_server.kit import clock, json, logs
from fhir_server.operations.alerting.evidence import found
from fhir_server.search.kinds import token
from fhir_server.storage import reads
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4
from workers.rules import plan
from workers.rules.rule import Rule
from workers.twin.codes import profile

MOST = 200
"""Active rules of a tenant."""
_REMEMBER_SECONDS = 60.0
_LOG = logs.logger("clarity.rules")
_known: WeakKeyDictionary[Tenant, dict[tuple[int, int, str], Rule | None]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Entry:
    """One active rule and the version of the PlanDefinition that says it."""

    rule: Rule
    reference: str


@dataclass(frozen=True, slots=True)
class _Active:
    """The active rules, and when they were looked for by which stamp of all PlanDefinitions."""

    stamp: tuple[str, tuple[int, int]]
    at: float
    entries: list[Entry]


_active: WeakKeyDictionary[Tenant, _Active] = WeakKeyDictionary()


async def active(tenant: Tenant, base: str) -> list[Entry]:
    """Return the active rules in the order of their urls; one that is not understood (any more) is left out and logged.

    They are searched for again when any PlanDefinition was written, and every minute: a profile may come without a version.
    """
    stamp = base, await reads.stamp(tenant, "PlanDefinition")
    last = _active.get(tenant)
    if last is None or last.stamp != stamp or clock.monotonic() - last.at > _REMEMBER_SECONDS:
        at = clock.monotonic()
        last = _active[tenant] = _Active(stamp, at, await _search(tenant, base))
    return last.entries


async def _search(tenant: Tenant, base: str) -> list[Entry]:
    query = [("status", "active"), ("_profile", profile(plan.PROFILE, base)), ("_count", str(MOST))]
    rows = await found(tenant, "PlanDefinition", query)
    known, now = _known.get(tenant, {}), dict[tuple[int, int, str], Rule | None]()
    for row in rows:
        at = row.rid, row.version, base
        now[at] = known[at] if at in known else _read(tenant, json.decode_trusted(row.body), base)
    _known[tenant] = now
    made = [
        Entry(rule, f"PlanDefinition/{row.id}/_history/{row.version}")
        for row in rows
        if (rule := now[row.rid, row.version, base]) is not None
    ]
    return sorted(made, key=lambda each: (each.rule.url, each.reference))


def _read(tenant: Tenant, resource: Json, base: str) -> Rule | None:
    # The search also finds what names a version of the profile, whose writers nobody has asked.
    if not plan.is_rule(resource, base):
        return None
    rule, issues = plan.read(resource, base)
    if rule is None:
        _LOG.warning("alert rule not understood", tenant=tenant.name, reason=issues[0].id)
    return rule


def waking_keys(tenant: Tenant, entries: Sequence[Entry]) -> list[int]:
    """Return the index keys of Observations that triggers of the rules name by code."""
    params = [R4.params("Observation")[name].id for name in ("code", "component-code")]
    codes = {code for each in entries for t in each.rule.triggers if t.type == "Observation" for code in t.codes}
    return sorted(token.key_of(token.Token(s or None, c), param, tenant.key) for s, c in codes for param in params)
