"""Small faults, one at a time: comparisons turned round, conditions dropped, everything shown where nothing should be."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
NAMES = {"NOTHING": "EVERYTHING", "EVERYTHING": "NOTHING", "any": "all", "all": "any", "max": "min", "min": "max"}


def _of(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node may be replaced by."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARE:
            changed = copy.deepcopy(node)
            changed.ops = [COMPARE[type(op)]()]
            yield changed
        case ast.BoolOp():
            changed_op = copy.deepcopy(node)
            changed_op.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield changed_op
            for left_out in range(len(node.values)):
                kept = [value for at, value in enumerate(node.values) if at != left_out]
                yield kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield ast.Name(NAMES[name], ast.Load())
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.If() | ast.While():
            for value in (True, False):
                forced = copy.deepcopy(node)
                forced.test = ast.Constant(value)
                yield forced
        case ast.Continue():
            yield ast.Pass()


@dataclass(frozen=True, slots=True)
class Place:
    """One fault: which place of the module, which of its faults, and what the statement around it is.

    `lines` are those of the statement (of its head alone when it has a body), none when it is run at import.
    """

    place: int
    choice: int
    where: str
    was: str
    becomes: str
    lines: frozenset[int] = frozenset()
    cached: bool = False
    """Whether the function keeps its answers, so that tests feel it that do not come by it."""

    def __str__(self) -> str:
        return f"{self.where}: `{self.was}` → `{self.becomes}`"


class _At(ast.NodeTransformer):
    """Replaces the node that is the `wanted`th place, by its `choice`th fault; counts places otherwise."""

    def __init__(self, wanted: int = -1, choice: int = 0) -> None:
        self.wanted, self.choice = wanted, choice
        self.places: list[Place] = []
        self.seen = 0
        self.around: list[str] = []
        self.called = 0
        self.cached = False
        self.lines: frozenset[int] = frozenset()

    def visit(self, node: ast.AST) -> ast.AST:
        before, cached = self.lines, self.cached
        if isinstance(node, ast.stmt):
            self.lines = _head(node) if self.called else frozenset()
        called = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        inner = called or isinstance(node, ast.ClassDef)
        self.called += called
        self.cached |= called and any("cache" in ast.unparse(each) for each in getattr(node, "decorator_list", ()))
        self.around += [getattr(node, "name", "")] if inner else []
        try:
            return self._visit(node)
        finally:
            self.lines, self.cached = before, cached
            self.called -= called
            if inner:
                self.around.pop()

    def _visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Name | ast.Subscript | ast.Attribute):
            if node.value is not None:
                node.value = self.visit(node.value)  # type: ignore[assignment]
            return node
        here = self.seen
        self.seen += 1
        faults = list(_of(node))
        if here == self.wanted:
            return ast.copy_location(faults[self.choice], node)
        where = ".".join(self.around) or "module"
        self.places += [
            Place(here, at, where, _shown(node), _shown(fault), self.lines, self.cached)
            for at, fault in enumerate(faults)
        ]
        return self.generic_visit(node)


def _shown(node: ast.AST) -> str:
    text = f"if {ast.unparse(node.test)}" if isinstance(node, ast.If | ast.While) else ast.unparse(node)
    return " ".join(text.split())[:90]


def _head(node: ast.stmt) -> frozenset[int]:
    body = getattr(node, "body", None)
    last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
    return frozenset(range(node.lineno, max(node.lineno, last) + 1))


def places(source: str) -> list[Place]:
    """Return every fault of a module; of those that read alike in one function, the second says so, and so on."""
    found = _At()
    found.visit(ast.parse(source))
    told: Counter[str] = Counter()
    out = []
    for each in found.places:
        told[str(each)] += 1
        again = told[str(each)]
        out.append(each if again == 1 else replace(each, where=f"{each.where} ({again})"))
    return out


def mutated(source: str, place: int, choice: int) -> ast.Module:
    """Return the module with one fault."""
    tree = _At(place, choice).visit(ast.parse(source))
    assert isinstance(tree, ast.Module)
    return ast.fix_missing_locations(tree)
