"""Changes that could not be acted on by the administration API: what `./clarity events` does."""

from __future__ import annotations

from typing import Final

from fhir_server.auth.admin.fields import Field, read
from fhir_server.auth.admin.task import Done, Task
from fhir_server.errors import Unprocessable
from fhir_server.storage import aside

REPLAY: Final = {"ids": Field(list)}
_MOST_DIGITS: Final = 18


async def listed(task: Task) -> Done:
    """Answer `GET /admin/events`: consequences of changes that were set aside."""
    found = [{**row.told(), "id": str(row.id)} for row in await aside.listed(task.tenant)]
    return Done(200, {"events": found})


async def replay(task: Task) -> Done:
    """Answer `POST /admin/events/replay`: those of `ids`, or all, are tried again by a worker."""
    wanted = read(task.body, REPLAY).get("ids")
    if any(not (id_.isascii() and id_.isdecimal() and len(id_) <= _MOST_DIGITS) for id_ in wanted or ()):
        raise Unprocessable("ids are numbers, as GET /admin/events shows them.", "event-unknown", "ids")
    count = await aside.replay(task.tenant, None if wanted is None else [int(id_) for id_ in wanted])
    return Done(202, {"replayed": count}, {"event": "events replayed", "count": str(count)})
