"""JSON Patch (RFC 6902): operations over a JSON document, all or none.

The document that is given is changed in place: hand over a copy. Decimals stay as they were written, on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import FhirError, Unprocessable
from fhir_server.model.patch.errors import MAX_OPERATIONS, failed, malformed, shown, too_large
from fhir_server.model.patch.pointer import END, Pointer, expression, parse, position, step
from fhir_server.model.patch.values import Budget, copied, same, weigh

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it was sent, its paths parsed."""

    place: int
    op: str
    path: Pointer
    text: str
    value: Any = None
    source: Pointer = ()
    source_text: str = ""

    @property
    def where(self) -> str:
        """Return how messages name the operation."""
        source = f"{shown(self.source_text)} -> " if self.op in ("move", "copy") else ""
        return f"patch[{self.place}] ({self.op} {source}{shown(self.text)})"


def read_operations(document: Any) -> tuple[Operation, ...]:
    """Return the operations of a JSON Patch document; BadRequest names the first that cannot be understood."""
    if not isinstance(document, list):
        raise malformed("patch", "a JSON Patch is an array of operations")
    if len(document) > MAX_OPERATIONS:
        raise too_large(f"A patch may have {MAX_OPERATIONS} operations at most; this one has {len(document)}.")
    return tuple(_operation(place, item) for place, item in enumerate(document))


def _operation(place: int, item: Any) -> Operation:
    where = f"patch[{place}]"
    if not isinstance(item, dict):
        raise malformed(where, "an operation is a JSON object")
    op = item.get("op")
    if not isinstance(op, str) or op not in _NEEDS:
        raise malformed(where, f"op is one of {', '.join(_NEEDS)}")
    missing = [name for name in ("path", *_NEEDS[op]) if name not in item]
    if missing:
        raise malformed(where, f"{op} needs {' and '.join(missing)}")
    path = _pointer(where, "path", item["path"])
    source = _pointer(where, "from", item["from"]) if "from" in _NEEDS[op] else ()
    source_text = item["from"] if "from" in _NEEDS[op] else ""
    return Operation(place, op, path, item["path"], item.get("value"), source, source_text)


def _pointer(where: str, name: str, text: Any) -> Pointer:
    if not isinstance(text, str):
        raise malformed(where, f"{name} is a JSON Pointer, as in /name/0/family")
    try:
        return parse(text)
    except ValueError as error:
        raise malformed(where, f"{name}: {error}") from error


class Patching:
    """A document on its way through the operations of a patch."""

    def __init__(self, document: Any, budget: Budget) -> None:
        self._holder = {"": document}
        self.budget = budget
        self.emptied: list[Any] = []
        """Arrays and objects from which something was taken away."""

    @property
    def document(self) -> Any:
        """Return the document as it is now."""
        return self._holder[""]

    def at(self, path: Pointer) -> Any:
        """Return what stands at a path; LookupError when there is nothing."""
        node: Any = self.document
        for token in path:
            node = step(node, token)
        return node

    def _parent(self, path: Pointer) -> tuple[Any, str]:
        return (self.at(path[:-1]), path[-1]) if path else (self._holder, "")

    def put(self, path: Pointer, value: Any) -> None:
        """Add a value: a member, new or not, or an item before the one at this position."""
        parent, token = self._parent(path)
        weigh(value, len(path) + 1, self.budget)
        if isinstance(parent, list):
            parent.insert(len(parent) if token == END else position(token, len(parent) + 1), value)
        elif isinstance(parent, dict):
            parent[token] = value
        else:
            raise LookupError("the path leads into a value that holds nothing")

    def take(self, path: Pointer) -> Any:
        """Take away what stands at a path and return it."""
        if not path:
            raise LookupError("the whole document cannot be taken away")
        parent, token = self._parent(path)
        value = step(parent, token)
        del parent[int(token) if isinstance(parent, list) else token]
        self.emptied.append(parent)
        return value

    def replace(self, path: Pointer, value: Any) -> None:
        """Put a value in the place of what stands at a path."""
        parent, token = self._parent(path)
        step(parent, token)
        weigh(value, len(path) + 1, self.budget)
        parent[int(token) if isinstance(parent, list) else token] = value


def _add(patching: Patching, operation: Operation) -> None:
    patching.put(operation.path, copied(operation.value))


def _remove(patching: Patching, operation: Operation) -> None:
    patching.take(operation.path)


def _replace(patching: Patching, operation: Operation) -> None:
    patching.replace(operation.path, copied(operation.value))


def _move(patching: Patching, operation: Operation) -> None:
    source, path = operation.source, operation.path
    if path != source and path[: len(source)] == source:
        raise LookupError("a value cannot be moved into itself")
    if path == source:
        patching.at(path)
    else:
        patching.put(path, patching.take(source))


def _copy(patching: Patching, operation: Operation) -> None:
    value = patching.at(operation.source)
    weigh(value, 1, patching.budget)  # before the copy is made, not after
    patching.put(operation.path, copied(value))


def _test(patching: Patching, operation: Operation) -> None:
    if not same(operation.value, patching.at(operation.path)):
        raise failed(operation.where, "the value is another one", id_="patch-test")


_PERFORM: Mapping[str, Callable[[Patching, Operation], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def apply(document: Any, operations: Sequence[Operation], *, root: str = "") -> Patching:
    """Perform the operations in order on `document`, which is changed; Unprocessable names the one that cannot be.

    `root` is the type of the resource, for the expression of the error.
    """
    patching = Patching(document, Budget())
    for operation in operations:
        try:
            _PERFORM[operation.op](patching, operation)
        except LookupError as error:
            raise _located(failed(operation.where, _sentence(operation, error)), root, operation) from error
        except FhirError as error:
            raise _located(error, root, operation) from error
    return patching


def _sentence(operation: Operation, error: LookupError) -> str:
    text = str(error.args[0])
    if operation.path[-1:] == (END,) and operation.op == "add" and "nothing at this path" in text:
        return f"{text}; where there is no array yet, add the array itself"
    return text


def _located(error: FhirError, root: str, operation: Operation) -> FhirError:
    """Return the error with the place of the operation as expression."""
    made: FhirError = type(error)(error.text, error.id, expression(root, operation.path) if root else None)
    return made if isinstance(error, Unprocessable) else type(error)(f"{operation.where}: {error.text}", error.id)


def drop_emptied(patching: Patching) -> None:
    """Leave out arrays and objects that a removal has left empty, for FHIR JSON has neither; what was added empty stays wrong."""
    emptied = {id(holder) for holder in patching.emptied if not holder}
    if emptied and isinstance(patching.document, dict):
        _prune(patching.document, emptied)


def _prune(node: Any, emptied: set[int]) -> bool:
    """Take emptied holders out of a node; tell whether it is empty itself because of that."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    gone = [key for key, item in items if isinstance(item, dict | list) and _prune(item, emptied)]
    for key in reversed(gone):
        del node[key]
    return not node and (bool(gone) or id(node) in emptied)
