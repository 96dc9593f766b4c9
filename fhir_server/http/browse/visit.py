"""What a page is asked for: where, with what, by whom; and the addresses that its links have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from fhir_server.context import Principal
from fhir_server.operations.registry import OPERATIONS
from profiles.registry import R4

VIEWS: Final = ("json", "xml")
"""Values of `_view`, which only pages know: the answer as text instead of a page of it."""

_REFERENCE: Final = re.compile(r"([A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")


@dataclass(frozen=True)
class Visit:
    """One page; `base` is "" where no tenant was found, `path` is below the base and `params` say nothing of the format."""

    base: str
    path: str = ""
    params: Sequence[tuple[str, str]] = ()
    view: str = ""
    interaction: str = ""
    type: str = ""
    status: int = 200
    request_id: str = ""
    signed_in: bool = False
    known: bool = False
    """Somebody with a valid token asks, by cookie or by header."""
    explains: bool = False
    """`$explain` is served, and would answer this caller."""
    signing_in: bool = True
    """A token may be kept in a cookie here: not in production over plain http."""

    @cached_property
    def root(self) -> str:
        """The path of the base, such as /fhir."""
        return urlsplit(self.base).path

    @property
    def place(self) -> str:
        """The path of the tenant: where sign-in lies beside the base."""
        return self.root.removesuffix("/fhir")

    def to(self, path: str = "", params: Sequence[tuple[str, str]] = ()) -> str:
        """Return the address of something below the base, on this site."""
        query = f"?{urlencode(params)}" if params else ""
        return f"{self.root}{'/' if path else ''}{quote(path, safe='/$')}{query}"

    def here(self, **more: str) -> str:
        """Return the address of this page, with more parameters."""
        return self.to(self.path, [*self.params, *more.items()])

    def absolute(self) -> str:
        """Return the address of the resource or search itself, as another client would ask for it."""
        return self.base + self.to(self.path, self.params).removeprefix(self.root)

    def own(self, address: str) -> str | None:
        """Return where on this site an address of our base leads; None for any other."""
        if address == self.base or address.startswith((f"{self.base}/", f"{self.base}?")):
            return self.root + address.removeprefix(self.base)
        return None

    def reference(self, target: str) -> str | None:
        """Return where a reference leads: to us, or to another server by http; None when it is no link."""
        matched = _REFERENCE.fullmatch(target)
        if matched and R4.is_type(matched[1]):
            return self.to(target)
        return self.own(target) or (target if target.startswith(("http://", "https://")) else None)


def visit_of(visit: Visit, principal: Principal) -> Visit:
    """Return the visit of somebody whose token holds."""
    served = any(operation.definition["code"] == "explain" for operation in OPERATIONS)
    everything = any(
        scope.level == "system" and scope.type == "*" and {"r", "s"} <= set(scope.letters) and not scope.filters
        for scope in principal.scopes
    )
    return replace(visit, known=True, explains=served and everything)
