"""FHIRPath Patch (R4 `fhirpatch.html`): operations as a Parameters resource, their places selected by FHIRPath.

add appends what is new under a name, insert and move work on a list, replace and delete on one element; delete alone may find
nothing. The type of a value must be that of its place, or one whose every value the place takes (a date for a dateTime).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.model.fhirpath import ast
from fhir_server.model.fhirpath.compile import compile_tree
from fhir_server.model.fhirpath.errors import FhirPathError
from fhir_server.model.fhirpath.parser import parse
from fhir_server.model.fhirpath.runtime import Run, Scope, Services
from fhir_server.model.fhirpath.types import Node, names_type, root_node
from fhir_server.model.patch import places
from fhir_server.model.patch.errors import MAX_OPERATIONS, MAX_STEPS, failed, malformed, too_large
from fhir_server.model.patch.typed import Json, Misfit, Value, append, build, elements, pairs, store
from fhir_server.model.patch.values import Budget, weigh
from profiles.registry import JsonChild

_TAKES: Mapping[str, tuple[str, ...]] = {
    "add": ("path", "name", "value"),
    "insert": ("path", "value", "index"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}
_PARTS: Mapping[str, tuple[str, ...]] = {
    "type": ("valueCode", "valueString"),
    "path": ("valueString",),
    "name": ("valueString",),
    "index": ("valueInteger", "valueUnsignedInt", "valuePositiveInt"),
    "source": ("valueInteger", "valueUnsignedInt", "valuePositiveInt"),
    "destination": ("valueInteger", "valueUnsignedInt", "valuePositiveInt"),
}
"""The parts of an operation beside `value`, and how each is given."""
_NUMBERS = ("index", "source", "destination")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: `run` selects the element, or for insert and move what holds the list `name`."""

    place: int
    type: str
    run: Run
    name: str
    value: Json
    numbers: Mapping[str, int]

    @property
    def where(self) -> str:
        """Return how messages name the operation."""
        return f"Parameters.parameter[{self.place}] ({self.type})"


def read_operations(parameters: Json) -> tuple[Operation, ...]:
    """Return the operations of a valid Parameters resource; BadRequest names the first that cannot be understood."""
    found = parameters.get("parameter", [])
    if len(found) > MAX_OPERATIONS:
        raise too_large(f"A patch may have {MAX_OPERATIONS} operations at most; this one has {len(found)}.")
    return tuple(_operation(place, each) for place, each in enumerate(found))


def _operation(place: int, parameter: Json) -> Operation:
    where = f"Parameters.parameter[{place}]"
    if parameter["name"] != "operation":
        raise malformed(where, "each parameter of a FHIRPath Patch is named operation", f"{where}.name")
    parts = _parts(where, parameter.get("part", []))
    type_ = _given(where, parts, "type")
    if type_ not in _TAKES:
        raise malformed(where, f"type is one of {', '.join(_TAKES)}", where)
    wanted = {"type", *_TAKES[type_]}
    if missing := sorted(wanted - parts.keys()):
        raise malformed(where, f"{type_} needs {' and '.join(missing)}", where)
    # `name` may stand beside a value everywhere: R4 says so for anonymous types.
    if unknown := sorted(parts.keys() - wanted - {"name"}):
        raise malformed(where, f"{type_} takes no {' and no '.join(unknown)}", where)
    path = _given(where, parts, "path")
    numbers: dict[str, int] = {name: _given(where, parts, name) for name in _NUMBERS if name in parts}
    listed = type_ in ("insert", "move")
    run, last = _compiled(where, path, listed=listed)
    name = last if listed else _given(where, parts, "name") if type_ == "add" else ""
    return Operation(place, type_, run, name, parts.get("value", {}), numbers)


def _parts(where: str, found: Sequence[Json]) -> dict[str, Json]:
    parts: dict[str, Json] = {}
    for part in found:
        name = part["name"]
        if name not in _PARTS and name != "value":
            raise malformed(where, f"the parts of an operation are {', '.join(_PARTS)} and value", where)
        if name in parts:
            raise malformed(where, f"{name} is given twice", where)
        parts[name] = part
    return parts


def _given(where: str, parts: Mapping[str, Json], name: str) -> Any:
    value = next((parts[name][key] for key in _PARTS[name] if key in parts.get(name, {})), None)
    if value is None:
        raise malformed(where, f"the part {name} is given as {_PARTS[name][0]}", where)
    return value


def _compiled(where: str, path: str, *, listed: bool) -> tuple[Run, str]:
    """Return what a path selects; of a list what holds it, and its name."""
    try:
        tree, name = parse(path), ""
        if listed:
            tree, name = _split(tree)
        return compile_tree(tree), name
    except Misfit as error:
        raise malformed(where, str(error), where) from error
    except FhirPathError as error:
        raise malformed(where, error.text, where) from error


def _split(tree: ast.Expr) -> tuple[ast.Expr, str]:
    """Return a path without its last name, and that name."""
    if isinstance(tree, ast.Member) and not names_type(tree.name):
        return ast.Special("$this"), tree.name
    if isinstance(tree, ast.Path) and isinstance(tree.steps[-1], ast.Member):
        rest = tree.steps[:-1]
        return (ast.Path(tree.head, rest) if rest else tree.head), tree.steps[-1].name
    raise Misfit("path names a list: it ends with the name of an element, as in Patient.name")


class _Patching:
    """A resource on its way through the operations, and what they may still cost."""

    def __init__(self, resource: Json) -> None:
        self.resource = resource
        self._left = MAX_STEPS
        self._budget = Budget()

    def build(self, operation: Operation, node: Node, candidates: list[JsonChild]) -> Value:
        """Return the value of an operation, which will stand below a node."""
        weigh(operation.value, places.depth(node), self._budget)
        return build(operation.value, candidates)

    def select(self, operation: Operation) -> list[Node]:
        """Return the elements that the path of an operation means."""
        root = root_node(self.resource, None)
        scope = Scope(root, {}, Services(steps=self._left))
        try:
            items = operation.run(scope)
        except RecursionError:
            raise malformed(operation.where, "the path is nested too deeply") from None
        except FhirPathError as error:
            if error.id == "fhirpath-limit":
                raise too_large(f"{operation.where}: {error.text}") from error
            raise malformed(operation.where, error.text) from error
        self._left = scope.left
        nodes: dict[str, Node] = {}
        for item in items:
            if type(item) is not Node or item.root() is not root:
                raise failed(operation.where, "the path selects a value that is no element of this resource")
            nodes[item.location()] = item
        return list(nodes.values())

    def one(self, operation: Operation) -> Node:
        """Return the one element that the path means."""
        found = self.select(operation)
        if not found:
            raise failed(operation.where, "the path finds nothing in this resource", id_="patch-no-match")
        return _only(operation, found)


def _only(operation: Operation, found: Sequence[Node]) -> Node:
    if len(found) > 1:
        text = f"the path finds {len(found)} elements; it must find one"
        raise failed(operation.where, text, found[0].location(), id_="patch-several-matches")
    return found[0]


def _element(operation: Operation, node: Node) -> Node:
    if node.parent is None:
        raise failed(operation.where, "the path means the resource itself, which stays", node.location())
    return node


def _add(patching: _Patching, operation: Operation) -> None:
    node = patching.one(operation)
    value = patching.build(operation, node, elements(places.path_below(node), operation.name))
    if not append(places.holder_of(node), value):
        where = f"{node.location()}.{value.child.element.name.removesuffix('[x]')}"
        raise failed(operation.where, "the element is there already and cannot repeat; use replace", where)


def _delete(patching: _Patching, operation: Operation) -> None:
    found = patching.select(operation)
    if found:
        places.remove(_element(operation, _only(operation, found)))


def _replace(patching: _Patching, operation: Operation) -> None:
    node = _element(operation, patching.one(operation))
    assert node.parent is not None
    name = places.child_of(node).element.name.removesuffix("[x]")
    candidates = elements(places.path_below(node.parent), name)
    places.replace(node, patching.build(operation, node.parent, candidates))


def _insert(patching: _Patching, operation: Operation) -> None:
    node, listed = _list(patching, operation)
    value = patching.build(operation, node, [listed])
    holder = places.holder_of(node)
    found = pairs(holder, listed.name)
    at = _position(operation, "index", len(found))
    store(holder, listed, [*found[:at], (value.raw, value.extra), *found[at:]])


def _move(patching: _Patching, operation: Operation) -> None:
    node, listed = _list(patching, operation)
    holder = places.holder_of(node)
    found = pairs(holder, listed.name)
    source = _position(operation, "source", len(found) - 1)
    at = _position(operation, "destination", len(found) - 1)
    found.insert(at, found.pop(source))
    store(holder, listed, found)


def _list(patching: _Patching, operation: Operation) -> tuple[Node, JsonChild]:
    """Return the element that holds the list of an operation, and the list."""
    node = patching.one(operation)
    child = elements(places.path_below(node), operation.name)[0]
    if not child.element.many:
        where = f"{node.location()}.{operation.name}"
        raise failed(operation.where, f"the element is no list; {operation.type} works on lists only", where)
    return node, child


def _position(operation: Operation, name: str, most: int) -> int:
    if not 0 <= operation.numbers[name] <= most:
        possible = f"0 to {most} is possible" if most >= 0 else "it is empty"
        raise failed(operation.where, f"{name} lies outside of the list: {possible}")
    return operation.numbers[name]


_PERFORM: Mapping[str, Callable[[_Patching, Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def apply(resource: Json, operations: Sequence[Operation]) -> None:
    """Perform the operations in order on `resource`, which is changed; Unprocessable names the one that cannot be."""
    patching = _Patching(resource)
    for operation in operations:
        place = f"Parameters.parameter[{operation.place}]"
        try:
            _PERFORM[operation.type](patching, operation)
        except Misfit as error:
            raise failed(operation.where, str(error), place, id_="patch-type") from error
        except FhirError as error:
            if error.issues[0].expression is None:
                raise type(error)(error.text, error.id, place) from error
            raise
