"""Type tests and casts (FHIRPath N1 §6.3, §5.2.4, §10.2)."""

from __future__ import annotations

from fhir_server.model.fhirpath.ast import TypeName
from fhir_server.model.fhirpath.errors import wrong_type
from fhir_server.model.fhirpath.runtime import Function, Scope, Table
from fhir_server.model.fhirpath.types import Collection, is_type, type_info


def is_(scope: Scope, items: Collection, type_: TypeName) -> Collection:
    """Return whether the single input is of a type."""
    if len(items) > 1 and not scope.lenient:
        raise wrong_type("'is' takes a single item")
    return [is_type(item, type_) for item in items]


def as_(scope: Scope, items: Collection, type_: TypeName) -> Collection:
    """Return the single input if it is of a type; search parameters of R4 also use it on several items."""
    if len(items) > 1 and not scope.lenient:
        raise wrong_type("'as' takes a single item")
    return of_type(scope, items, type_)


def of_type(scope: Scope, items: Collection, type_: TypeName) -> Collection:  # noqa: ARG001
    """Keep the items of a type."""
    return [item for item in items if is_type(item, type_)]


def type_(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the TypeInfo of every item."""
    return [type_info(item) for item in items]


TABLE: Table = {
    "is": Function(is_, "t"),
    "as": Function(as_, "t"),
    "ofType": Function(of_type, "t"),
    "type": Function(type_),
}
