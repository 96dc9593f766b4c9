"""A compiled expression as callers see it, and the cache of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fhir_server.model.fhirpath.compile import compile_tree
from fhir_server.model.fhirpath.errors import over_limit
from fhir_server.model.fhirpath.parser import parse
from fhir_server.model.fhirpath.runtime import NO_SERVICES, Run, Scope, Services, truth
from fhir_server.model.fhirpath.types import Collection, Node, root_node
from fhir_server.model.fhirpath.views import plain


class Compiled:
    """A compiled expression; call it with a resource, or with an element when it was compiled for a base path."""

    __slots__ = ("base", "expression", "run")

    def __init__(self, expression: str, base: str | None, run: Run) -> None:
        self.expression = expression
        self.base = base
        self.run = run

    def __call__(self, focus: Any, /, *, services: Services = NO_SERVICES, **variables: Any) -> list[Any]:
        """Return the result as plain JSON values; `resource`, `rootResource` and other names become `%variables`."""
        return [plain(item) for item in self.items(focus, services=services, **variables)]

    def items(
        self, focus: Any, /, *, services: Services = NO_SERVICES, lenient: bool = False, **variables: Any
    ) -> Collection:
        """Return the result as typed items: `Node`s that know where they are, and system values."""
        root = focus if type(focus) is Node else root_node(focus, self.base)
        try:
            return list(self.run(Scope(root, variables, services, lenient=lenient)))
        except RecursionError:
            raise over_limit("the evaluation is nested too deeply") from None

    def test(self, focus: Any, /, *, services: Services = NO_SERVICES, **variables: Any) -> bool:
        """Return whether the result is true, as a criterion has to be; empty is not."""
        return truth(self.items(focus, services=services, **variables)) is True

    def holds(self, focus: Any, /, *, services: Services = NO_SERVICES, **variables: Any) -> bool:
        """Return whether an invariant is kept: it is broken only by false.

        R4's own invariants need both kinds of lenience: `ref-1` is empty for a Reference that has only a display, and
        `dom-3` uses `as` on a collection.
        """
        return truth(self.items(focus, services=services, lenient=True, **variables)) is not False


def compile_path(expression: str, base: str | None = None) -> Compiled:
    """Return the compiled expression; `base` is the type or backbone path of inputs that are no resource."""
    return _cached(expression, base) if len(expression) <= _CACHED else _fresh(expression, base)


def _fresh(expression: str, base: str | None) -> Compiled:
    return Compiled(expression, base, compile_tree(parse(expression)))


_CACHED = 1024  # characters; a request may bring any number of expressions, so what the cache can hold is bounded
_cached = lru_cache(maxsize=1024)(_fresh)
