"""`$verify-contact`: a code goes to an address of the resource, and only who reads it there can verify it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fhir_server.storage import contacts, jobs
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller, caller
from tests.workers.messages.conftest import Mailbox, mailbox, sms
from tests.workers.messages.sending import LEASE, mail, mobile, number, patient, settings, twilio
from tests.workers.messages.twilio_server import Twilio
from workers.jobs import contact

__all__ = ["mailbox", "sms"]


def asks(value: str, code: str | None = None) -> dict[str, Any]:
    given = [{"name": "value", "valueString": value}]
    given += [] if code is None else [{"name": "code", "valueString": code}]
    return {"resourceType": "Parameters", "parameter": given}


async def told(tenant: Tenant, folder: Path, **more: Any) -> None:
    """Do the jobs that tell codes."""
    for job in await jobs.claim(tenant, [contact.KIND], LEASE, 10):
        await contact.run(tenant, job, settings(folder, **more))
        await jobs.finish(tenant.pool, tenant, job)


async def result(who: Caller, path: str, value: str, code: str | None = None) -> tuple[int, str]:
    answer = await who.send("POST", f"{path}/$verify-contact", asks(value, code))
    return answer.status, answer.json["parameter"][0]["valueCode"] if answer.status == 200 else answer.issue


async def test_a_number_is_verified_by_its_code(system: Caller, unique: str, tmp_path: Path, sms: Twilio) -> None:
    tenant, to = system.tenant, number()
    path = f"Patient/{unique}"
    await system.send("PUT", path, patient(unique, mobile(to)))
    assert await result(system, path, f"{to[:5]} {to[5:]}") == (200, "code-sent")
    await told(tenant, tmp_path, **twilio(sms.url))
    [sent] = sms.to(to)
    code = re.search(r"\b\d{6}\b", sent["Body"])[0]
    assert "CANARY" not in sent["Body"]
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    assert await result(system, path, to, wrong) == (422, "contact-code")
    key = contacts.address_key(tenant, "sms", to)
    rid = await tenant.pool.fetchval(tenant.sql("SELECT person FROM {s}.contact WHERE address = $1"), key)
    assert await contacts.verified(tenant, rid, [key]) == set()
    assert await result(system, path, to, code) == (200, "verified")
    assert await contacts.verified(tenant, rid, [key]) == {key}
    assert await result(system, path, to, code) == (422, "contact-code"), "a code holds once"
    kept = str(await tenant.pool.fetch(tenant.sql("SELECT * FROM {s}.contact")))
    kept += str(await tenant.pool.fetch(tenant.sql("SELECT * FROM {s}.job")))
    assert to[1:] not in kept
    assert f"'{code}'" not in kept


async def test_guessing_ends(system: Caller, unique: str, tmp_path: Path, mailbox: Mailbox) -> None:
    path, to = f"Practitioner/{unique}", f"{unique}@b.example"
    await system.send("PUT", path, {"resourceType": "Practitioner", "id": unique, "telecom": [mail(to)]})
    assert await result(system, path, to) == (200, "code-sent")
    await told(system.tenant, tmp_path, smtp_url=mailbox.url)
    code = re.search(r"\b\d{6}\b", mailbox.got[0].get_content())[0]
    for i in range(contacts.TRIES):
        assert await result(system, path, to, f"{(int(code) + 1 + i) % 10**6:06d}") == (422, "contact-code")
    assert await result(system, path, to, code) == (422, "contact-code"), "right, and too late"


async def test_codes_end(system: Caller, unique: str) -> None:
    path, to = f"Patient/{unique}", f"{unique}@b.example"
    await system.send("PUT", path, patient(unique, mail(to)))
    for _ in range(contacts.CODES_A_DAY):
        assert await result(system, path, to) == (200, "code-sent")
    assert await result(system, path, to) == (429, "contact-codes")


@pytest.mark.parametrize("value", ["", "+15550100", "a@b", "nobody@b.example", "x" * 5000, "+1\u0000"])
async def test_addresses_that_are_not_there(system: Caller, unique: str, value: str) -> None:
    await system.send("PUT", f"Patient/{unique}", patient(unique, mobile("+15550101")))
    status, issue = await result(system, f"Patient/{unique}", value)
    assert status in (400, 422)
    assert issue


async def test_who_may_not_see_the_person(system: Caller, http: Any, unique: str) -> None:
    path, to = f"Patient/{unique}", number()
    await system.send("PUT", path, patient(unique, mobile(to)))
    await system.send("PUT", f"Patient/{unique}-2", patient(f"{unique}-2"))
    other = await caller(http, system.tenant, "patient/*.rs", patient=f"{unique}-2")
    assert (await other.send("POST", f"{path}/$verify-contact", asks(to))).status == 404
    assert (await system.get(f"{path}/$verify-contact?value=x")).status == 405
    missing = await system.send("POST", f"{path}x/$verify-contact", asks(to))
    assert missing.status == 404


async def test_a_code_without_a_provider(system: Caller, unique: str, tmp_path: Path) -> None:
    path, to = f"Patient/{unique}", number()
    await system.send("PUT", path, patient(unique, mobile(to)))
    await result(system, path, to)
    await told(system.tenant, tmp_path)
    key = contacts.address_key(system.tenant, "sms", to)
    text = system.tenant.sql("SELECT why FROM {s}.contact WHERE address = $1")
    assert await system.tenant.pool.fetchval(text, key) == "no-transport"
