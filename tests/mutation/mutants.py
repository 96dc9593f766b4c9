"""Small faults, one at a time: comparisons turned round, conditions dropped, everything shown where nothing should be."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

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


class _At(ast.NodeTransformer):
    """Replaces the node that is the `wanted`th place, by its `choice`th fault; counts places otherwise."""

    def __init__(self, wanted: int = -1, choice: int = 0) -> None:
        self.wanted, self.choice = wanted, choice
        self.places: list[tuple[int, int, str, str]] = []
        self.seen = 0

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Name | ast.Subscript | ast.Attribute):
            if node.value is not None:
                node.value = self.visit(node.value)  # type: ignore[assignment]
            return node
        here = self.seen
        self.seen += 1
        faults = list(_of(node))
        if here == self.wanted:
            return ast.copy_location(faults[self.choice], node)
        line = getattr(node, "lineno", 0)
        self.places += [(here, at, f"{line}: {_shown(node)}", _shown(fault)) for at, fault in enumerate(faults)]
        return self.generic_visit(node)


def _shown(node: ast.AST) -> str:
    text = f"if {ast.unparse(node.test)}" if isinstance(node, ast.If | ast.While) else ast.unparse(node)
    return " ".join(text.split())[:90]


def places(source: str) -> list[tuple[int, int, str, str]]:
    """Return every fault of a module: which place, which of its faults, what was there, what it becomes."""
    found = _At()
    found.visit(ast.parse(source))
    return found.places


def mutated(source: str, place: int, choice: int) -> ast.Module:
    """Return the module with one fault."""
    tree = _At(place, choice).visit(ast.parse(source))
    assert isinstance(tree, ast.Module)
    return ast.fix_missing_locations(tree)
