"""AuditEvent is read from two places: the audit trail, rendered from its rows, and what clients posted, as it was stored.

A search pages through the trail first, newest first; where it ends, the link leads on to the posted ones.
"""

from __future__ import annotations

from fhir_server.audit import search as trail
from fhir_server.context import RequestContext
from fhir_server.interactions.address import Params
from fhir_server.interactions.call import Call
from fhir_server.search import run
from fhir_server.search.run import Page
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.visibility import Visibility

TYPE = "AuditEvent"
_POSTED = "posted"
"""What the cursors of pages of posted ones begin with; those of the trail are longer and sealed."""


async def read(ctx: RequestContext, id_: str, visibility: Visibility) -> Stored | None:
    """Return one AuditEvent, wherever it is kept."""
    return await trail.read(ctx, id_, visibility) or await reads.read(ctx.tenant, TYPE, id_, visibility)


async def search(ctx: RequestContext, call: Call, visibility: Visibility) -> Page:
    """Return a page of AuditEvents; the search is repeated in the link to the next, beside the cursor."""
    given = dict(call.params)
    count = call.limits.count(given.get("_count"))
    asked = [(name, value) for name, value in call.params if name != "_cursor"]
    cursor = given.get("_cursor", "")
    if cursor.startswith(_POSTED):
        return await _posted(ctx, asked, cursor.removeprefix(_POSTED), visibility, count)
    found = await trail.search(ctx, call.params, visibility=visibility, count=count)
    page = Page(found.rows, found.total, found.next, found.issues, found.applied)
    if page.next is None:
        posted = await _posted(ctx, asked, "", visibility, count)
        page.total = None if page.total is None or posted.total is None else page.total + posted.total
        page.next = _POSTED if posted.rows else None
    return page


async def _posted(ctx: RequestContext, asked: Params, cursor: str, visibility: Visibility, count: int) -> Page:
    params = [("_cursor", cursor)] if cursor else asked
    page = await run.search(ctx, TYPE, params, visibility=visibility, default=count)
    page.previous = page.first = None  # the trail goes one way
    if page.next is not None:
        page.next = _POSTED + page.next
    return page
