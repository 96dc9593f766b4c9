"""`messages` over the database of the tests and a Twilio on loopback."""

from __future__ import annotations

import asyncio
import json

import pytest

from fhir_server.kit import ids
from fhir_server.storage import contacts, messages
from fhir_server.storage.tenants import Tenant
from tests.cli.test_users import run
from tests.workers.messages.conftest import sms
from tests.workers.messages.sending import Desk, communication, mobile, number, patient, settings, twilio
from tests.workers.messages.twilio_server import Twilio

__all__ = ["run", "sms"]


async def test_what_was_given_up_is_seen_and_tried_again(
    run, tenants: dict[str, Tenant], tmp_path, unique: str
) -> None:
    desk = Desk(tenants["default"], settings(tmp_path))
    made = await desk.put(communication(await desk.put(patient(unique))))
    rid = await desk.rid(made)
    await messages.ensure(desk.tenant, rid, [1], "notice", urgent=False)
    text = "UPDATE {s}.message SET state = 'dead', why = 'gave-up', attempts = 8 WHERE communication = $1"
    await desk.tenant.pool.execute(desk.tenant.sql(text), rid)
    done = await asyncio.to_thread(run, "messages", "list", "--json")
    [mine] = [each for each in json.loads(done.stdout) if each["communication"] == made]
    assert (mine["state"], mine["why"], mine["attempts"]) == ("dead", "gave-up", 8)
    assert "dead" in (await asyncio.to_thread(run, "messages", "list", "--state", "dead")).stdout
    await asyncio.to_thread(run, "messages", "retry", mine["ref"])
    assert (await desk.rows(made))[0].state == "waiting"
    await asyncio.to_thread(run, "messages", "retry", mine["ref"], code=1)
    await desk.tenant.pool.execute(desk.tenant.sql("DELETE FROM {s}.message WHERE communication = $1"), rid)


async def test_a_test_message(run, sms: Twilio, monkeypatch: pytest.MonkeyPatch) -> None:
    to = number()
    assert "TWILIO_FROM" in (await asyncio.to_thread(run, "messages", "send-test", "--to", to, code=1)).output
    assert "no number" in (await asyncio.to_thread(run, "messages", "send-test", "--to", "555", code=2)).output
    for name, value in twilio(sms.url).items():
        monkeypatch.setenv(name.upper(), value)
    done = await asyncio.to_thread(run, "messages", "send-test", "--to", to, "--json")
    assert json.loads(done.stdout)["id"] == sms.to(to)[0]["sid"]
    sms.answer = lambda _form: (429, {}, b"")
    assert "status-429" in (await asyncio.to_thread(run, "messages", "send-test", "--to", to, code=1)).output


async def test_vouching_and_opting_out(run, tenants: dict[str, Tenant], tmp_path, unique: str) -> None:
    tenant, to = tenants["default"], number()
    desk = Desk(tenant, settings(tmp_path))
    who = await desk.put(patient(unique, mobile(to)))
    key = contacts.address_key(tenant, "sms", to)
    await asyncio.to_thread(run, "messages", "verify", who, "--to", to)
    assert await contacts.verified(tenant, await desk.rid(who), [key]) == {key}
    await asyncio.to_thread(run, "messages", "verify", who, "--to", "+15559999999", code=1)
    await asyncio.to_thread(run, "messages", "verify", f"Patient/{ids.new_id()}", "--to", to, code=1)
    await asyncio.to_thread(run, "messages", "opt-out", "--to", to)
    assert await contacts.opted_out(tenant, [key]) == {key}
    await asyncio.to_thread(run, "messages", "opt-in", "--to", to)
    assert await contacts.opted_out(tenant, [key]) == set()
