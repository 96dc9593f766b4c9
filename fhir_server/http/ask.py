"""One FHIR interaction asked for from inside, by the pages of the authorization server: performed and audited like any other."""

from __future__ import annotations

from typing import Any

from fhir_server.context import RequestContext
from fhir_server.errors import Forbidden, Gone, NotFound
from fhir_server.http.perform import perform
from fhir_server.interactions.address import parse_address, parse_query
from fhir_server.interactions.call import Call
from fhir_server.kit import json


async def ask(ctx: RequestContext, path: str, query: str) -> dict[str, Any] | None:
    """Return what `GET path?query` answers to the caller; None for what the caller may not see, or is not there."""
    call = Call("GET", parse_address(path), parse_query(query))
    call.perform = perform
    try:
        result = await perform(ctx, call)
    except (NotFound, Gone, Forbidden):
        return None
    found: dict[str, Any] = json.decode_trusted(result.body)
    return found
