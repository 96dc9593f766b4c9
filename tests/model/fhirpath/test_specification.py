"""R4's own invariants: all compile, all make sense for their elements, and the official examples keep them."""

import re
from collections.abc import Iterator

from fhir_server.model.fhirpath import Node, compile_path
from fhir_server.model.fhirpath.check import check
from fhir_server.model.fhirpath.types import children, root_node
from profiles.registry import R4
from tests.model.fhirpath.instances import by_type

# Mistakes in R4 itself: ChargeItemDefinition has no name, ras-1 means a Range, que-7 asks for System.Boolean.
NONSENSE = {"cid-0", "ras-1"}
BROKEN = {"que-7"}


def _elements(root: Node) -> Iterator[tuple[Node, tuple[str, ...]]]:
    """Yield every element with the keys of its invariants."""
    stack: list[tuple[Node, tuple[str, ...]]] = [(root, ())]
    while stack:
        node, keys = stack.pop()
        own = R4.type_invariants(node.type) if R4.defines(node.type) else ()
        yield node, tuple(dict.fromkeys((*keys, *own)))
        found: list[Node] = []
        children(node, found)
        known = {key: child.element.invariants for key, child in R4.json_children(node.path).items()}
        stack.extend((child, known.get(child.key, ())) for child in found)


def test_invariants_are_kept_by_the_examples() -> None:
    broken = []
    tested = 0
    for resources in by_type(6).values():
        for resource in resources:
            for node, keys in _elements(root_node(resource, None)):
                for key in keys:
                    invariant = R4.invariants(key)
                    tested += 1
                    if not compile_path(invariant.expression).holds(node) and invariant.severity == "error":
                        broken.append((key, node))
    assert tested > 5_000
    real = [(key, node) for key, node in broken if key not in BROKEN]
    assert [key for key, _ in real if key not in ("txt-1", "txt-2")] == []
    assert all(re.sub(r"<[^>]*>", "", node.raw).strip() == "" for _, node in real), "empty narratives do break txt-2"


def test_invariants_pass_the_static_check() -> None:
    for type_ in R4.types:
        for key in R4.type_invariants(type_):
            expression = R4.invariants(key).expression
            compile_path(expression, type_)
            assert key in NONSENSE or check(expression, type_) == [], (key, type_)


def test_search_expressions_pass_the_static_check() -> None:
    for type_ in R4.types:
        for param in R4.params(type_).values():
            if param.expression:
                assert check(param.expression, type_) == [], (type_, param.name)
