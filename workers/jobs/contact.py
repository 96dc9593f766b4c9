"""Tells somebody the code that verifies their contact point. The code is derived when it is sent and stands nowhere else.

A code that was told twice because a worker died is the same code: it does no harm.
"""

from __future__ import annotations

from typing import Final

from fhir_server.kit import clock, ids, logs
from fhir_server.settings import Settings
from fhir_server.storage import contacts
from fhir_server.storage.jobs import Job
from fhir_server.storage.tenants import Tenant
from workers.messages import holders, templates
from workers.messages.contact import language_of
from workers.messages.port import Never, Unsure
from workers.messages.transports import transports

KIND: Final = contacts.JOB
_LOG = logs.logger("clarity.messages")


async def run(tenant: Tenant, job: Job, settings: Settings) -> None:
    """Send the code of the contact point whose row is the job's key; what fails for now is tried again while the code holds."""
    asked = await contacts.asked(tenant, int(job.key))
    if asked is None or asked.told_at is not None:
        return
    holder = await holders.holder_of(tenant, asked.holder, clock.now(), settings.canonical_base)
    point = holders.keys(tenant, holder.usable()).get(asked.address) if holder else None
    if holder is None or point is None:
        await contacts.told(tenant, asked.id, "no-contact-point")
        return
    way = transports(settings, tenant.base).get(point.channel)
    if way is None:
        await contacts.told(tenant, asked.id, "no-transport")
        return
    code = contacts.code_of(tenant, asked.id, asked.nonce)
    out = templates.render_code(ids.new_id(), point.value, code, language_of(dict(holder.person)))
    try:
        await way.send(out)
    except Never as error:
        await contacts.told(tenant, asked.id, error.reason)
        return
    except Unsure:
        _LOG.warning("code perhaps not sent", tenant=tenant.name, name=way.name)
    await contacts.told(tenant, asked.id)
