"""Static checking: names and types that an expression cannot have, found before any resource is seen.

Evaluation is lenient as FHIRPath asks (an unknown element is empty); whoever takes an expression from a person, such as an
alert rule or a view, wants `Observation.valueQuantity` refused with the reason.
"""

from __future__ import annotations

from difflib import get_close_matches

from fhir_server.errors import Issue
from fhir_server.model.fhirpath import ast
from fhir_server.model.fhirpath.errors import FhirPathError
from fhir_server.model.fhirpath.functions import FUNCTIONS
from fhir_server.model.fhirpath.parser import parse
from fhir_server.model.fhirpath.types import Child, children_named, is_fhir, names_type, type_of_path
from profiles.registry import R4

Ends = tuple[Child, ...] | None  # None: unknown, which every later step accepts
_SYSTEM: Ends = None

# Functions whose result has the types of their input.
_KEEPING = "where first last tail skip take single distinct exclude intersect trace sort checkModifiers"
_SAME = frozenset(_KEEPING.split())
_ORDERED = frozenset({"first", "last", "tail", "skip", "take"})


def check(expression: str, base: str) -> list[Issue]:
    """Return what is wrong with an expression for inputs of a type or at a backbone path; also grammar and functions."""
    try:
        tree = parse(expression)
        checker = _Checker(base)
        checker.visit(tree, checker.root)
    except FhirPathError as error:
        return error.issues
    return checker.issues


class _Checker:
    """Walks a tree with the static types of the focus."""

    def __init__(self, base: str) -> None:
        self.root: Ends = (Child("", type_of_path(base), base, False, False),)
        self.issues: list[Issue] = []
        self.unordered = False

    def report(self, text: str) -> None:
        self.issues.append(Issue("invalid", "fhirpath-semantic", f"FHIRPath: {text}"))

    def visit(self, tree: ast.Expr, focus: Ends) -> Ends:
        """Check a tree against the focus; return the types of its result."""
        if isinstance(tree, ast.Path):
            ends = self.visit(tree.head, focus)
            for step in tree.steps:
                ends = self.step(step, ends, focus)
            return ends
        if isinstance(tree, ast.Member):
            return self.head(tree, focus)
        if isinstance(tree, ast.Call):
            return self.call(tree, focus, focus)
        if isinstance(tree, ast.Special):
            return focus if tree.name == "$this" else _SYSTEM
        if isinstance(tree, ast.TypeTest):
            ends = self.visit(tree.operand, focus)
            return self.narrowed(ends, tree.type) if tree.operator == "as" else _SYSTEM
        return self.operands(tree, focus)

    def operands(self, tree: ast.Expr, focus: Ends) -> Ends:
        """Check the operands of an operator."""
        if isinstance(tree, ast.Sign):
            self.visit(tree.operand, focus)
        elif isinstance(tree, ast.Binary):
            self.visit(tree.left, focus)
            self.visit(tree.right, focus)
        elif isinstance(tree, ast.Union):
            found = [self.visit(part, focus) for part in tree.parts]
            known = [ends for ends in found if ends is not None]
            return tuple(end for ends in known for end in ends) if len(known) == len(found) else None
        return _SYSTEM

    def head(self, member: ast.Member, focus: Ends) -> Ends:
        """Check a leading name."""
        if not names_type(member.name):
            return self.members(member.name, focus)
        if focus is None or any(end.path == "Resource" for end in focus):
            return None
        found = tuple(end for end in focus if is_fhir(end.type, member.name))
        if not found:
            self.report(f"the input is never a {member.name}")
        return found or None

    def step(self, step: ast.Step, ends: Ends, focus: Ends) -> Ends:
        """Check a step of a path."""
        if isinstance(step, ast.Member):
            return self.members(step.name, ends)
        if isinstance(step, ast.Index):
            self.order("an indexer")
            self.visit(step.position, focus)
            return ends
        return self.call(step, ends, focus)

    def members(self, name: str, ends: Ends) -> Ends:
        """Follow an element name; a fault when no type that is possible here has it."""
        if ends is None or any(end.path == "Resource" for end in ends):
            return None
        found = tuple(child for end in ends for child in _children(end, name))
        if not found:
            types = ", ".join(sorted({end.path for end in ends})[:3])
            known = {key.removesuffix("[x]") for end in ends for key in R4.children(end.path)}
            near = get_close_matches(name, known, n=1) or [key for key in known if name.startswith(key)][:1]
            hint = f"; did you mean '{near[0]}'?" if near else ""
            self.report(f"{types} has no element '{name}'{hint}")
            return None
        return found

    def narrowed(self, ends: Ends, type_: ast.TypeName) -> Ends:
        """Keep the types that a cast lets through; a fault when there are none."""
        if ends is None or type_.namespace == "System" or any(end.path == "Resource" for end in ends):
            return None
        kept = tuple(end for end in ends if is_fhir(end.type, type_.name))
        if not kept and R4.defines(type_.name):
            self.report(f"this is never a {type_.name}")
        return kept or None

    def order(self, what: str) -> None:
        """Report a dependence on an order that is not defined."""
        if self.unordered:
            self.report(f"{what} on a collection without an order")
            self.unordered = False

    def call(self, call: ast.Call, ends: Ends, focus: Ends) -> Ends:
        """Check a function call: that it exists, and its arguments."""
        function = FUNCTIONS.get(call.name)
        if function is None:
            self.report(f"there is no function '{call.name}'")
            return None
        if call.name in _ORDERED:
            self.order(f"{call.name}()")
        kinds = (function.required + function.optional).ljust(len(call.args), "v")
        found: Ends = None
        for kind, argument in zip(kinds, call.args, strict=False):
            if kind in "ls":
                found = self.visit(argument, ends if kind == "s" or call.name not in ("iif", "coalesce") else None)
            elif kind == "v":
                self.visit(argument, focus)
        self.unordered = call.name in ("children", "descendants") or (self.unordered and call.name != "sort")
        return self.result(call, ends, found)

    def result(self, call: ast.Call, ends: Ends, found: Ends) -> Ends:
        """Return the types of a call's result."""
        if call.name in _SAME:
            return ends
        if call.name in ("as", "ofType") and (type_ := ast.type_name(call.args[0])) is not None:
            return self.narrowed(ends, type_)
        if call.name == "extension":
            return (Child("extension", "Extension", "Extension", False, True),)
        return found if call.name == "select" else None


def _children(end: Child, name: str) -> tuple[Child, ...]:
    """Return the children of that name; of primitives only id and extension."""
    return children_named("Element", name) if end.primitive else children_named(end.path, name)
