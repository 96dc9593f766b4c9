"""A desk for tests: people, Communications, and the steps of a worker done by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from fhir_server.interactions import commands
from fhir_server.kit import clock, json
from fhir_server.settings import Settings
from fhir_server.storage import contacts, ident, jobs, messages, reads
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.psych import messages as codes
from tests.subscriptions import subscribing as given
from tests.workers.messages.twilio_server import ACCOUNT, FROM, TOKEN
from workers.jobs import dispatch
from workers.jobs.kinds import KINDS
from workers.messages.contact import channel_of, normal

Json = dict[str, Any]
LEASE = timedelta(seconds=30)
OURS = (messages.JOB, contacts.JOB, dispatch.REMIND)


def settings(folder: Path, **more: Any) -> Settings:
    usual = {"message_bundle_seconds": 0, "message_quiet_hours": "none"}
    return given.settings(folder, **(usual | more))


def twilio(url: str) -> Json:
    return {"twilio_account_sid": ACCOUNT, "twilio_auth_token": TOKEN, "twilio_from": FROM, "twilio_base_url": url}


def number() -> str:
    return "+1555" + "".join(c for c in str(int(given.word(), 16)) if c.isdigit())[-7:].rjust(7, "0")


def communication(recipient: str, **more: Any) -> Json:
    return {
        "resourceType": "Communication",
        "status": "preparation",
        "category": [{"coding": [{"system": codes.category(), "code": "alert"}]}],
        "reasonCode": [{"coding": [{"system": codes.reason(), "code": "clinical-alert"}]}],
        "recipient": [{"reference": recipient}],
        "payload": [{"contentString": "CANARY-TEXT of Ann CANARY-NAME"}],
    } | more


def patient(id_: str, *telecom: Json, **more: Any) -> Json:
    return {
        "resourceType": "Patient",
        "id": id_,
        "name": [{"family": "CANARY-NAME", "given": ["Ann"]}],
        "birthDate": "1971-03-04",
        **({"telecom": list(telecom)} if telecom else {}),
    } | more


def mobile(value: str, **more: Any) -> Json:
    return {"system": "phone", "use": "mobile", "value": value} | more


def mail(value: str, **more: Any) -> Json:
    return {"system": "email", "value": value} | more


@dataclass
class Desk:
    tenant: Tenant
    settings: Settings
    who: Any = field(default=None)

    async def put(self, resource: Json) -> str:
        """Write a resource as a client; return Type/id."""
        self.who = self.who or await given.client(self.tenant, "system/*.cruds")
        type_, id_ = resource["resourceType"], resource.get("id")
        there = id_ and await reads.read(self.tenant, type_, id_, EVERYTHING)
        if id_ and not there:
            await commit(self.tenant, [commands.build(self.tenant, resource, id_)])
            return f"{type_}/{id_}"
        written = await given.write(self.tenant, resource, self.who, id_=id_)
        return f"{type_}/{written.id}"

    async def verify(self, reference: str, *values: str) -> None:
        rid = await self.rid(reference)
        for value in values:
            channel = channel_of(value)
            key = contacts.address_key(self.tenant, channel, normal(channel, value) or "")
            await contacts.verify(self.tenant, rid, key, channel, "administrator")

    async def rid(self, reference: str) -> int:
        type_, _, id_ = reference.partition("/")
        rid = await ident.known_rid(self.tenant, type_, id_)
        assert rid is not None
        return rid

    async def work(self, most: int = 50) -> None:
        """Do all that is due now."""
        while await dispatch.dispatch(self.tenant, self.settings):
            pass
        for _ in range(most):
            claimed = await jobs.claim(self.tenant, list(OURS), LEASE)
            if not claimed:
                return
            await KINDS[claimed[0].kind].run(self.tenant, claimed[0], self.settings)
            await jobs.finish(self.tenant.pool, self.tenant, claimed[0])
            while await dispatch.dispatch(self.tenant, self.settings):
                pass
        raise AssertionError("jobs without end")

    async def later(self) -> None:
        """Make everything that waits due, breakers included, and do it."""
        for text in (
            """UPDATE {s}.message SET next_at = now() - interval '1 second', started_at = started_at - interval '60 seconds'
            WHERE state IN ('waiting', 'sending')""",
            "UPDATE {s}.job SET run_at = now() WHERE state = 'ready' AND kind = 'message'",
            "DELETE FROM {s}.endpoint_state",
        ):
            await self.tenant.pool.execute(self.tenant.sql(text))
        await self.work()

    async def get(self, reference: str) -> Json:
        type_, _, id_ = reference.partition("/")
        stored = await reads.read(self.tenant, type_, id_, EVERYTHING)
        assert stored is not None
        found: Json = json.decode_trusted(stored.body)
        return found

    async def state(self, reference: str) -> tuple[str, list[str]]:
        """Return status and reasons of a Communication."""
        found = await self.get(reference)
        return found["status"], [each["code"] for each in found.get("statusReason", {}).get("coding", ())]

    async def rows(self, reference: str) -> list[messages.Message]:
        return await messages.of(self.tenant, await self.rid(reference))


def now_hours(offset: int) -> str:
    moment = clock.now() + timedelta(hours=offset)
    return f"{moment:%H:%M}"
