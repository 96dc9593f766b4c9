"""Matching with care, after matching as usual has failed: what fails for one Subscription or one change fails for no other.

A change that cannot be judged for a Subscription is returned, to be set aside: whoever else asked for it has it. A Subscription
whose question fails again and again cannot be served: that is not the fault of every change that meets it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from fhir_server.auth import policy
from fhir_server.storage.outage import passing
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author, match, standing, state
from fhir_server.subscriptions.board import readable
from fhir_server.subscriptions.orders import Change, Order
from fhir_server.subscriptions.state import Watch

PATIENCE = 5.0
"""Failures after which a Subscription is not served any more; one is shared by all for whom the same change fails."""


@dataclass(slots=True)
class Isolated:
    """What came of it: the changes that failed with the class of what was raised, and the Subscriptions that cannot be served."""

    failed: list[tuple[Event, str]] = field(default_factory=list)
    broken: list[Watch] = field(default_factory=list)


async def enqueue(connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event]) -> Isolated:
    """Number what of the events Subscriptions are to be told of, as `match.enqueue` does, as far as it can be told."""
    orders, broken = await readable(tenant)
    changes = await match.changes_of(tenant, orders, events, connection)
    concerned = await orders.concerned(tenant, changes) if changes else {}
    await standing.look_up(tenant, [search for order in concerned for search in order.searches(tenant)])
    found: dict[int, dict[int, state.Change]] = {}
    errors: dict[int, dict[Order, str]] = defaultdict(dict)
    for order, asked in concerned.items():
        met, failed = await _each(tenant, order, asked)
        for change in met:
            found.setdefault(order.watch.rid, {})[change.place] = change.told
        for place, error in failed.items():
            errors[place][order] = error
    await state.number(connection, tenant, match.in_order(found))
    broken += _blamed(errors)
    given_up = {watch.rid for watch in broken}
    left = {
        place: [error for order, error in failed.items() if order.watch.rid not in given_up]
        for place, failed in errors.items()
    }
    return Isolated([(events[place], names[0]) for place, names in sorted(left.items()) if names], broken)


async def _each(tenant: Tenant, order: Order, changes: Sequence[Change]) -> tuple[list[Change], dict[int, str]]:
    """Return which changes are to be told, and the places of those for which that cannot be said with the class of the error."""
    right = await author.sees(tenant, order.watch.agent, order.type)
    seen = [change for change in changes if policy.admits(right, change.subject.keys)]
    try:
        return await order.meeting(tenant, seen), {}
    except Exception as error:
        if passing(error):
            raise
    met, failed = list[Change](), dict[int, str]()
    for change in seen:
        try:
            met += await order.meeting(tenant, [change])
        except Exception as error:
            if passing(error):
                raise
            failed[change.place] = type(error).__name__
    return met, failed


def _blamed(errors: dict[int, dict[Order, str]]) -> list[Watch]:
    """Count the failures, and return the Subscriptions that have failed too often."""
    for failed in errors.values():
        for order in failed:
            order.strikes += 1 / len({each.watch.rid for each in failed})
    orders = dict.fromkeys(order for failed in errors.values() for order in failed)
    return list({order.watch.rid: order.watch for order in orders if order.strikes >= PATIENCE}.values())
