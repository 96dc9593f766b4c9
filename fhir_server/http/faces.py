"""Bodies that are not JSON: XML becomes JSON before anybody looks at it; an answer becomes XML or a page when all is done.

JSON callers pay nothing for it; large Bundles are converted piece by piece, so that small reads get their turn.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache

from fhir_server.http.browse import pages, shell
from fhir_server.http.browse.visit import Visit
from fhir_server.http.render import Response, with_body
from fhir_server.interactions.pace import Pace
from fhir_server.model.xml.read import Reader
from fhir_server.model.xml.write import pieces, to_xml

_SLOW = 128 * 1024


async def json_of(xml: bytes) -> bytes:
    """Return the JSON of a resource that came as XML."""
    reader, pace = Reader(xml), Pace()
    for _ in reader.steps():
        await pace.step()
    return reader.json()


async def as_xml(response: Response, *, pretty: bool, lasting: bool = False) -> Response:
    """Return the response in XML; its body is JSON until here. A lasting one is asked for again and again: it is kept."""
    if not response.body:
        return response
    if lasting:
        return with_body(response, _kept(response.body, pretty))
    pace, out = Pace(), []
    for piece in pieces(response.body, pretty=pretty):
        out.append(piece)
        await pace.step()
    return with_body(response, b"".join(out))


async def as_page(response: Response, visit: Visit) -> Response:
    """Return the response as a page; a long one is made in a thread."""
    if not response.body:
        return response
    if len(response.body) < _SLOW:
        made = with_body(response, pages.page(visit, response.body))
    else:
        made = with_body(response, await asyncio.to_thread(pages.page, visit, response.body))
    made.headers += shell.HEADERS
    return made


@lru_cache(maxsize=16)
def _kept(body: bytes, pretty: bool) -> bytes:  # noqa: FBT001  the cache takes positions
    return to_xml(body, pretty=pretty)
