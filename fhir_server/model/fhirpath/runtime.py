"""What an evaluation carries along: the focus, the variables, the services it may call, and the steps it has left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from fhir_server.kit import clock
from fhir_server.model.fhirpath.errors import MAX_STEPS, over_limit, within_limit, wrong_type
from fhir_server.model.fhirpath.types import Collection, Node, value_of

_32_BITS = 2**31


@dataclass(frozen=True, slots=True)
class Services:
    """What FHIRPath may ask of the server, and how many steps it may take.

    A function whose service is absent raises `fhirpath-not-supported`; `resolve()` then finds nothing outside the resource.
    """

    resolve: Callable[[str], dict[str, Any] | None] | None = None
    member_of: Callable[[Any, str], bool | None] | None = None
    conforms_to: Callable[[Any, str], bool | None] | None = None
    subsumes: Callable[[Any, Any], bool | None] | None = None
    trace: Callable[[str, Collection], None] | None = None
    steps: int = MAX_STEPS


NO_SERVICES = Services()


class Scope:
    """The state of one evaluation; functions with lambdas change `this`, `index` and `total` and put them back."""

    __slots__ = ("_now", "index", "left", "lenient", "root", "services", "this", "total", "variables")

    def __init__(
        self,
        root: Node,
        variables: Mapping[str, Any],
        services: Services = NO_SERVICES,
        *,
        lenient: bool = False,
    ) -> None:
        self.root = root
        self.this: Collection = [root]
        self.index: int | None = None
        self.total: Collection = []
        self.variables = variables
        self.services = services
        self.lenient = lenient
        self.left = services.steps
        self._now: datetime | None = None

    def charge(self, steps: int) -> None:
        """Count work done; raises when the evaluation has used up its steps."""
        self.left -= steps
        if self.left < 0:
            raise over_limit("the evaluation needs too many steps")

    def now(self) -> datetime:
        """Return the time of this evaluation: the same however often it is asked (N1 §5.9)."""
        if self._now is None:
            self._now = clock.now()
        return self._now


Run = Callable[[Scope], Collection]
StepRun = Callable[[Scope, Collection], Collection]


@dataclass(frozen=True, slots=True)
class Function:
    """A row of the function table: how to call it, and the kinds of its arguments, one letter each.

    `v` an evaluated collection, `l` a closure evaluated per item, `i` a closure over the whole input (iif), `t` a type name,
    `s` a sort key; `*` repeats the letter before it. Those in `optional` may be left out.
    """

    call: Callable[..., Collection]
    required: str = ""
    optional: str = ""


Table = dict[str, Function]


def one(items: Collection) -> Any:
    """Return the system value of a collection of at most one item, None when it is empty (N1 §4.5)."""
    if not items:
        return None
    if len(items) > 1:
        raise wrong_type("expected a single item")
    return value_of(items[0])


def truth(items: Collection) -> bool | None:
    """Return a collection as a boolean: None when empty, true for any single item that is no boolean (N1 §4.5)."""
    if not items:
        return None
    if len(items) > 1:
        raise wrong_type("expected a single boolean")
    item = items[0]
    value = item.raw if type(item) is Node else item
    return value if type(value) is bool else True


def boolean(value: bool | None) -> Collection:  # noqa: FBT001
    """Return a boolean, or None for empty, as a collection."""
    return [] if value is None else [value]


def text_of(items: Collection) -> str | None:
    """Return a collection of at most one string as a string."""
    value = one(items)
    if value is None or type(value) is str:
        return value
    if items and type(items[0]) is Node and type(items[0].raw) is str:
        return items[0].raw  # a date, say, of a resource: its text
    raise wrong_type("expected a string")


def integer_of(items: Collection) -> int | None:
    """Return a collection of at most one integer as an int."""
    value = one(items)
    if value is None or type(value) is int:
        return value
    raise wrong_type("expected an integer")


def bounded(text: str) -> Collection:
    """Return a string that an expression built, unless it has grown out of bounds."""
    within_limit(len(text))
    return [text]


def number(value: int | Decimal) -> Collection:
    """Return a number, or nothing when an integer overflows 32 bits (N1 §6.6)."""
    if type(value) is int and not -_32_BITS <= value < _32_BITS:
        return []
    return [value]
