"""What the caller may see of the types that a search comes by on its way, beside the one it is about.

Search does not know scopes: who calls gives it a `Sees`, which answers for any types with the Visibility of each and leaves out
those of which nothing may be seen. It is asked for every search and every page anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from fhir_server.storage.visibility import Visibility

Sees: TypeAlias = Callable[[Iterable[str]], Awaitable[Mapping[str, Visibility]]]


async def nothing(_: Iterable[str]) -> Mapping[str, Visibility]:
    """See no type at all: what a search gets that nobody told what the caller may see."""
    return {}
