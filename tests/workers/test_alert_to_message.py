"""An answer about self-harm becomes a text message to the psychiatrist, which says nothing of anybody."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant
from profiles.psych.rules import shipped
from tests.workers.messages.conftest import sms
from tests.workers.messages.sending import Desk, mobile, number, patient, settings, twilio
from tests.workers.messages.twilio_server import Twilio
from tests.workers.rules.made import filled, team
from tests.workers.test_alerts_job import put
from workers.jobs import alerts

__all__ = ["sms"]


async def test_an_answer_becomes_a_message_without_a_name(
    tenants: dict[str, Tenant], tmp_path: Path, sms: Twilio, unique: str
) -> None:
    desk = Desk(tenants["default"], settings(tmp_path, **twilio(sms.url)))
    plans = list(shipped())
    await put(desk.tenant, plans)
    to, doctor = number(), {"resourceType": "Practitioner", "id": f"{unique}-dr", "name": [{"family": "CANARY-NAME"}]}
    reference = await desk.put(doctor | {"telecom": [mobile(to)]})
    await desk.verify(reference, to)
    await desk.put(patient(unique))
    await desk.put(team(unique, psychiatrist=reference))
    now = clock.now()
    await desk.put(filled(unique, now - timedelta(minutes=5), [0, 0, 0, 0, 0, 0, 0, 0, 2]))
    await alerts.evaluate(desk.tenant, await desk.rid(f"Patient/{unique}"), desk.settings, now)
    await desk.work()
    [sent] = sms.to(to)
    assert "clinical alert" in sent["Body"] or "klinischer Hinweis" in sent["Body"]
    assert "CANARY" not in str(sent)
    assert unique not in str(sent)
    await put(desk.tenant, [plan | {"status": "retired"} for plan in plans])


async def test_a_psychiatrist_who_cannot_be_told_is_followed_by_the_nurse_at_once(
    tenants: dict[str, Tenant], tmp_path: Path, sms: Twilio, unique: str
) -> None:
    desk = Desk(tenants["default"], settings(tmp_path, **twilio(sms.url)))
    plans = list(shipped())
    await put(desk.tenant, plans)
    to, other = number(), number()
    doctor = await desk.put({"resourceType": "Practitioner", "id": f"{unique}-dr", "telecom": [mobile(other)]})
    nurse = await desk.put({"resourceType": "Practitioner", "id": f"{unique}-nurse", "telecom": [mobile(to)]})
    await desk.verify(nurse, to)
    await desk.put(patient(unique))
    await desk.put(team(unique, psychiatrist=doctor, nurse=nurse))
    now = clock.now()
    await desk.put(filled(unique, now - timedelta(minutes=5), [0, 0, 0, 0, 0, 0, 0, 0, 2]))
    rid = await desk.rid(f"Patient/{unique}")
    text = desk.tenant.sql("DELETE FROM {s}.job WHERE kind = 'alerts' AND key = $1 RETURNING id")
    await alerts.evaluate(desk.tenant, rid, desk.settings, now)
    await desk.tenant.pool.fetch(text, str(rid))
    await desk.work()
    assert (sms.to(to), sms.to(other)) == ([], [])
    assert await desk.tenant.pool.fetch(text, str(rid)), "that nobody got it is news for the rules"
    await alerts.evaluate(desk.tenant, rid, desk.settings, clock.now())
    await desk.work()
    assert (len(sms.to(to)), sms.to(other)) == (1, [])
    await put(desk.tenant, [plan | {"status": "retired"} for plan in plans])
