"""What to do when somebody else came first: read again, and drop claims that outlived what they stood for."""

from __future__ import annotations

from fhir_server.context import RequestContext
from fhir_server.storage import claims
from fhir_server.storage.claims import Holder


class Claims:
    """The claims that one request met as taken; each is dropped if a search then shows that its holder does not match."""

    def __init__(self, ctx: RequestContext) -> None:
        self._ctx = ctx
        self._holders: dict[bytes, Holder] = {}

    async def met(self, key: bytes | None) -> None:
        """Note who holds a claim that was refused to us; call before the search is made again."""
        holder = await claims.holder(self._ctx.tenant, key) if key else None
        if key and holder:
            self._holders[key] = holder

    async def unmatched(self, key: bytes) -> None:
        """Drop the claim if we met it: the search made since finds nothing, so its holder was changed."""
        if key in self._holders:
            await claims.release(self._ctx.tenant, key, self._holders.pop(key))
