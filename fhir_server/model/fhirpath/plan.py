"""The static plan of a path: which JSON properties to follow, with every type known before any resource is seen.

Only paths made of members, type filters, `where`, `extension` and indexers have a plan; that is all but a handful of R4's
search parameters. `extract.py` turns a plan into a closure over raw JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.model.fhirpath import ast
from fhir_server.model.fhirpath.references import refers_to
from fhir_server.model.fhirpath.types import Child, children_named, is_fhir, names_type, type_of_path

Raw = dict[str, Any]
Test = Callable[[Any], bool]


class NoPlan(Exception):
    """The expression needs the general evaluation."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One step down: the properties to look at, the tests an item must pass, and which item of all (None: every)."""

    children: tuple[Child, ...]
    tests: tuple[Test, ...] = ()
    position: int | None = None
    element: str = ""


Branch = tuple[Hop, ...]  # no hop: the input itself


def plan(tree: ast.Expr, base: str) -> list[Branch]:
    """Return the branches by which an expression can be reached from `base`; none when it cannot match."""
    return _merged(_Planner(base).expression(tree))


def _merged(branches: list[Branch]) -> list[Branch]:
    """Put branches together that end at other types of the same choice, as in `(x as Quantity) | (x as SampledData)`."""
    out: list[Branch] = []
    for branch in branches:
        twin = next((at for at, other in enumerate(out) if _same_choice(branch, other)), None)
        if twin is None:
            out.append(branch)
        else:
            children = dict.fromkeys((*out[twin][-1].children, *branch[-1].children))
            out[twin] = (*branch[:-1], replace(branch[-1], children=tuple(children)))
    return out


def _same_choice(branch: Branch, other: Branch) -> bool:
    """Return whether two branches differ only in the types of their last element."""
    if not branch or not other or branch[:-1] != other[:-1] or branch[-1].element != other[-1].element:
        return False
    return all(hop.tests == () and hop.position is None for hop in (branch[-1], other[-1]))


class _Planner:
    """Plans for one base path."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.base_child = Child("", type_of_path(base), base, primitive=False, many=False)

    def expression(self, tree: ast.Expr) -> list[Branch]:
        if isinstance(tree, ast.Union):
            return [branch for part in tree.parts for branch in self.expression(part)]
        if isinstance(tree, ast.TypeTest) and tree.operator == "as":
            return self.filtered(self.expression(tree.operand), tree.type)
        if isinstance(tree, ast.Path):
            branches = self.expression(tree.head)
            for step in tree.steps:
                branches = self.step(branches, step)
            return branches
        if isinstance(tree, ast.Member):
            return self.head(tree)
        if isinstance(tree, ast.Call):
            return self.step([()], tree)
        if isinstance(tree, ast.Special) and tree.name == "$this":
            return [()]
        raise NoPlan

    def head(self, member: ast.Member) -> list[Branch]:
        """Plan a leading name: the type of the input, or one of its elements."""
        if names_type(member.name):
            return [()] if is_fhir(self.base_child.type, member.name) else []
        return self.members([()], member.name)

    def step(self, branches: list[Branch], step: ast.Step) -> list[Branch]:
        """Plan a step of a path."""
        if isinstance(step, ast.Member):
            return self.members(branches, step.name)
        if isinstance(step, ast.Index):
            if isinstance(step.position, ast.Literal) and type(step.position.value) is int:
                return [_at(branch, step.position.value) for branch in branches]
            raise NoPlan
        return self.call(branches, step)

    def call(self, branches: list[Branch], call: ast.Call) -> list[Branch]:
        """Plan a function call."""
        if call.name == "first" and not call.args:
            return [_at(branch, 0) for branch in branches]
        if len(call.args) != 1:
            raise NoPlan
        argument = call.args[0]
        if call.name in ("as", "ofType") and (type_ := ast.type_name(argument)) is not None:
            return self.filtered(branches, type_)
        if call.name == "where":
            return [self.tested(branch, argument) for branch in branches]
        if call.name == "extension" and isinstance(argument, ast.Literal):
            return [_with(branch, _equals("url", argument.value)) for branch in self.members(branches, "extension")]
        raise NoPlan

    def ends(self, branch: Branch) -> tuple[Child, ...]:
        """Return what a branch can end at."""
        return branch[-1].children if branch else (self.base_child,)

    def members(self, branches: list[Branch], name: str) -> list[Branch]:
        """Follow an element name from every end of every branch."""
        out: list[Branch] = []
        for branch in branches:
            for end in self.ends(branch):
                if end.path == "Resource" or end.primitive:
                    raise NoPlan
                found = children_named(end.path, name)
                if len(found) > 1 and any(child.many for child in found):
                    raise NoPlan
                if found:
                    narrowed = (*branch[:-1], replace(branch[-1], children=(end,))) if branch else ()
                    out.append((*narrowed, Hop(found, element=name)))
        return out

    def filtered(self, branches: list[Branch], type_: ast.TypeName) -> list[Branch]:
        """Keep the ends that are of a type."""
        if type_.namespace == "System":
            raise NoPlan
        out: list[Branch] = []
        for branch in branches:
            ends = self.ends(branch)
            if any(end.path == "Resource" for end in ends):
                raise NoPlan
            kept = tuple(end for end in ends if is_fhir(end.type, type_.name))
            if kept:
                out.append((*branch[:-1], replace(branch[-1], children=kept)) if branch else branch)
        return out

    def tested(self, branch: Branch, criteria: ast.Expr) -> Branch:
        """Add the test of a `where` to a branch."""
        ends = self.ends(branch)
        if len(ends) != 1:
            raise NoPlan
        return _with(branch, self.test(criteria, ends[0]))

    def test(self, criteria: ast.Expr, end: Child) -> Test:
        """Return a criterion as a test of raw JSON."""
        if isinstance(criteria, ast.Binary) and criteria.operator == "and":
            first, second = self.test(criteria.left, end), self.test(criteria.right, end)
            return lambda raw: first(raw) and second(raw)
        if isinstance(criteria, ast.TypeTest) and criteria.operator == "is" and end.type in ("Reference", "canonical"):
            if isinstance(criteria.operand, ast.Call) and criteria.operand.name == "resolve":
                return refers_to(criteria.type.name)
        elif isinstance(criteria, ast.Binary) and criteria.operator == "=":
            return self.equality(criteria, end)
        raise NoPlan

    @staticmethod
    def equality(criteria: ast.Binary, end: Child) -> Test:
        """Return `element = 'text'` as a test."""
        left, right = criteria.left, criteria.right
        if isinstance(left, ast.Member) and isinstance(right, ast.Literal) and isinstance(right.value, str):
            found = children_named(end.path, left.name)
            if len(found) == 1 and found[0].primitive and not found[0].many:
                return _equals(found[0].key, right.value)
        raise NoPlan


def _equals(key: str, value: str) -> Test:
    """Return the test that a property has this very value."""
    return lambda raw: raw.get(key) == value


def _with(branch: Branch, test: Test) -> Branch:
    """Return a branch whose end must also pass a test."""
    if not branch or branch[-1].position is not None:
        raise NoPlan
    return (*branch[:-1], replace(branch[-1], tests=(*branch[-1].tests, test)))


def _at(branch: Branch, position: int) -> Branch:
    """Return a branch that takes one item only; it means one of all only when nothing above it repeats."""
    if not branch or branch[-1].position is not None or any(c.many for hop in branch[:-1] for c in hop.children):
        raise NoPlan
    if len(branch[-1].children) != 1 or branch[-1].children[0].primitive:
        raise NoPlan  # a primitive without a value, but with extensions, also takes a place
    return (*branch[:-1], replace(branch[-1], position=position))
