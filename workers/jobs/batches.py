"""Deliveries of one claim on their way: one by one for R4 criteria, as notification Bundles for topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpcore

from fhir_server.context import RequestContext
from fhir_server.kit import clock, metrics
from fhir_server.settings import Settings
from fhir_server.storage.commands import AuditRow
from fhir_server.storage.reads import Stored
from fhir_server.storage.visibility import Visibility
from fhir_server.subscriptions import notices, notify
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.deliveries import Delivery, Record
from fhir_server.subscriptions.send import Outcome, send
from fhir_server.subscriptions.state import Claim
from fhir_server.subscriptions.topics.bundle import About, Told
from fhir_server.subscriptions.topics.wants import Wants

FRESH = 2.0
"""Seconds for which what was found out about the author's rights is good enough to begin another send."""


@dataclass(frozen=True, slots=True)
class Served:
    """A Subscription as it stands now, where it is to be told, and what it asks for if it is topic-based."""

    stored: Stored
    way: Channel
    wants: Wants | None


@dataclass(slots=True)
class Batch:
    """What came of each delivery, and the ones that failed."""

    ctx: RequestContext
    claim: Claim
    served: Served
    sees: Mapping[str, Visibility]
    settings: Settings
    about: About
    secrets: tuple[bytes, ...] = ()
    began: float = field(default_factory=clock.monotonic)
    records: list[Record] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    failed: tuple[Sequence[Delivery], Outcome] | None = None

    @property
    def most(self) -> int:
        """How many events one notification may tell of."""
        return (self.served.wants.most or 1) if self.served.wants else 1

    @property
    def complete(self) -> bool:
        """Whether all of it has come to its end."""
        return self.failed is None and all(record.state != "waiting" for record in self.records)

    def over(self) -> bool:
        """Tell whether another send may not begin."""
        return self.failed is not None or clock.monotonic() - self.began > FRESH

    async def send(self, client: httpcore.AsyncConnectionPool, group: Sequence[Delivery]) -> None:
        """Send what of a group may be seen, and note what came of it."""
        if self.served.wants is not None:
            await self._send_bundle(client, group)
            return
        for delivery in group:
            await self._send_version(client, delivery)

    async def beat(self, client: httpcore.AsyncConnectionPool) -> Outcome:
        """Send a heartbeat."""
        message = notices.notice(self.served.way, self.about, "heartbeat", secrets=self.secrets)
        return await send(client, self.served.way, message, self.settings)

    async def _send_version(self, client: httpcore.AsyncConnectionPool, delivery: Delivery) -> None:
        version = await notify.disclosable(self.ctx.tenant, delivery, self.sees.get(self.claim.type, ()))
        if version is None:
            self.records.append(Record(delivery.event, "skipped"))
            return
        payload = self.served.way.payload is not None
        message = notify.notification(self.served.stored.id, delivery, version, payload=payload, secrets=self.secrets)
        outcome = await send(client, self.served.way, message, self.settings)
        self._disclosed(version, outcome)
        self._noted([delivery], outcome)

    async def _send_bundle(self, client: httpcore.AsyncConnectionPool, group: Sequence[Delivery]) -> None:
        found = list(zip(group, await notices.all_told(self.ctx.tenant, group, self.sees), strict=True))
        self.records += [Record(delivery.event, "skipped") for delivery, told in found if told.focus is None]
        shown = [(delivery, told) for delivery, told in found if told.focus is not None]
        if not shown:
            return
        events: list[Told] = [told for _, told in shown]
        message = notices.notice(self.served.way, self.about, "event-notification", events, self.secrets)
        outcome = await send(client, self.served.way, message, self.settings)
        for told in events:
            if told.focus is not None:
                self._disclosed(told.focus, outcome)
        self._noted([delivery for delivery, _ in shown], outcome)

    def _disclosed(self, version: Stored, outcome: Outcome) -> None:
        row = notify.disclosure(self.ctx, self.claim.agent, self.served.stored.id, version, outcome)
        self.audit.append(row)

    def _noted(self, group: Sequence[Delivery], outcome: Outcome) -> None:
        if outcome.delivered:
            self.records += [Record(delivery.event, "delivered", outcome.status) for delivery in group]
        else:
            self.failed = (group, outcome)
            metrics.DELIVERY_FAILURES.labels(self.served.way.kind, outcome.reason).inc()


def groups(taken: Sequence[Delivery], most: int) -> list[list[Delivery]]:
    """Return what is sent together: what was sent together before stays so, for the receiver knows it by one id."""
    made: list[list[Delivery]] = []
    for delivery in taken:
        last = made[-1] if made else []
        if last and len(last) < most and last[0].attempts == delivery.attempts:
            last.append(delivery)
        else:
            made.append([delivery])
    return made
