"""What one Subscription wants to hear of one type, as something to ask of a change: a filter, and for topics a trigger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from fhir_server.kit import clock, json
from fhir_server.model.fhirpath.errors import FhirPathError
from fhir_server.search.parse import parse_query
from fhir_server.storage.outbox import Event
from fhir_server.storage.reads import Kept
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import standing
from fhir_server.subscriptions.standing import Standing
from fhir_server.subscriptions.state import Watch
from fhir_server.subscriptions.topics.topic import Params, Query, Trigger

_REMEMBER_SECONDS: Final = 60.0
"""How long a search is used as it was read: `ap` dates are as near as that moment says."""
_WRITTEN: Final = frozenset({"create", "update"})

Action = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """One committed version: what it says (None: deleted), and what stood there before (None: nothing, or it was not asked for)."""

    place: int
    event: Event
    action: Action
    now: Kept | None
    before: Kept | None

    @property
    def subject(self) -> Kept:
        """The version by which it is filtered and by which it may be seen: the last one that said something."""
        found = self.now or self.before
        assert found is not None
        return found

    @property
    def told(self) -> tuple[int, int, int]:
        """What a Subscription is told of: rid, version and method."""
        return self.event.rid, self.event.version, self.event.method


@dataclass(slots=True)
class Asked:
    """A search that is asked of single versions."""

    type: str
    params: Params
    _standing: Standing | None = None
    _read_at: float = 0.0

    def standing(self, tenant: Tenant) -> Standing:
        """Return the search, read anew once a minute."""
        if self._standing is None or clock.monotonic() - self._read_at > _REMEMBER_SECONDS:
            self._standing = Standing(parse_query(self.type, self.params, lenient=False, base=tenant.base))
            self._read_at = clock.monotonic()
        return self._standing


@dataclass(eq=False, slots=True)
class Order:
    """One type that a Subscription is about."""

    watch: Watch
    type: str
    filter: Asked
    trigger: Trigger | None = None
    strikes: float = 0.0
    """How often it could not be asked (`isolate.py`)."""
    previous: Asked | None = field(init=False, default=None)
    current: Asked | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.trigger is not None:
            self.previous = self._asked(self.trigger.previous)
            self.current = self._asked(self.trigger.current)

    def _asked(self, query: Query | None) -> Asked | None:
        return Asked(self.type, query.params) if query is not None else None

    @property
    def must(self) -> list[Asked]:
        """What a new version must meet in any case: by that it is found among many."""
        trigger, found = self.trigger, [self.filter]
        if self.current is not None and trigger is not None and (trigger.both or trigger.previous is None):
            found.append(self.current)
        return found

    def searches(self, tenant: Tenant) -> Iterator[Standing]:
        """Yield all that is asked of versions."""
        for asked in (self.filter, self.previous, self.current):
            if asked is not None:
                yield asked.standing(tenant)

    async def meeting(self, tenant: Tenant, changes: Sequence[Change]) -> list[Change]:
        """Return those of the changes that are to be told; `standing.look_up` comes before."""
        wanted = self.trigger.interactions if self.trigger is not None else _WRITTEN
        of_kind = [each for each in changes if each.action in wanted]
        met = await _meeting(tenant, self.filter, of_kind, [each.subject for each in of_kind])
        return await self._triggering(tenant, met, self.trigger) if self.trigger is not None else met

    async def _triggering(self, tenant: Tenant, changes: list[Change], trigger: Trigger) -> list[Change]:
        before = await _holding(tenant, self.previous, trigger.previous, changes, [each.before for each in changes])
        after = await _holding(tenant, self.current, trigger.current, changes, [each.now for each in changes])
        tests = [each for each in (before, after) if each is not None]
        if tests:
            hits = set.intersection(*tests) if trigger.both else set.union(*tests)
            changes = [each for each in changes if each.place in hits]
        return [each for each in changes if trigger.path is None or _holds(trigger, each)]


async def _meeting(tenant: Tenant, asked: Asked, changes: list[Change], versions: list[Kept]) -> list[Change]:
    met = {id(each) for each in await standing.meeting(tenant, asked.standing(tenant), versions)}
    return [change for change, version in zip(changes, versions, strict=True) if id(version) in met]


async def _holding(
    tenant: Tenant, asked: Asked | None, query: Query | None, changes: list[Change], versions: list[Kept | None]
) -> set[int] | None:
    """Return the places of the changes that pass one test of the topic; None where it has no such test."""
    if asked is None or query is None:
        return None
    there = [(change, version) for change, version in zip(changes, versions, strict=True) if version is not None]
    met = await _meeting(tenant, asked, [change for change, _ in there], [version for _, version in there])
    alone = {c.place for c, v in zip(changes, versions, strict=True) if v is None} if query.alone else set()
    return {change.place for change in met} | alone


def _holds(trigger: Trigger, change: Change) -> bool:
    """Tell whether the FHIRPath of a topic is true of a change; one that fails on it is not."""
    assert trigger.path is not None
    now = json.decode_trusted(change.now.stored.body) if change.now else None
    before = json.decode_trusted(change.before.stored.body) if change.before else None
    focus = now or before
    try:
        return trigger.path.test(focus, current=now or [], previous=before or [])
    except FhirPathError:
        return False
