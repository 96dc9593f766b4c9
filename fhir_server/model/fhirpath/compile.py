"""Syntax tree to closures. A closure takes the `Scope` of the evaluation and returns a collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.model.fhirpath import ast
from fhir_server.model.fhirpath.equality import distinct
from fhir_server.model.fhirpath.errors import FhirPathError, wrong_type
from fhir_server.model.fhirpath.functions import FUNCTIONS
from fhir_server.model.fhirpath.operators import LOGIC, OPERATORS
from fhir_server.model.fhirpath.quantities import Quantity
from fhir_server.model.fhirpath.references import referred_type
from fhir_server.model.fhirpath.runtime import (
    Function,
    Run,
    Scope,
    StepRun,
    boolean,
    integer_of,
    one,
    truth,
)
from fhir_server.model.fhirpath.types import (
    Child,
    Collection,
    Node,
    TypeInfo,
    add_children,
    check_type,
    children_named,
    is_fhir,
    is_type,
    member,
    names_type,
)
from fhir_server.model.fhirpath.variables import variable


def compile_tree(tree: ast.Expr) -> Run:
    """Return the closure of a syntax tree."""
    return _COMPILERS[type(tree)](tree)


def _literal(tree: ast.Literal) -> Run:
    value = [tree.value]
    return lambda scope: value  # noqa: ARG005


def _empty(tree: ast.Empty) -> Run:  # noqa: ARG001
    return lambda scope: []  # noqa: ARG005


def _variable(tree: ast.Variable) -> Run:
    name = tree.name
    return lambda scope: variable(scope, name)


_SPECIALS: dict[str, Run] = {
    "$this": lambda scope: scope.this,
    "$index": lambda scope: [] if scope.index is None else [scope.index],
    "$total": lambda scope: scope.total,
}


def _special(tree: ast.Special) -> Run:
    return _SPECIALS[tree.name]


def _step(step: ast.Step) -> StepRun:
    """Return what a step does to the items before it."""
    if isinstance(step, ast.Member):
        return _members(step.name)
    if isinstance(step, ast.Call):
        return _invoke(step)
    position = compile_tree(step.position)

    def at(scope: Scope, items: Collection) -> Collection:
        index = integer_of(position(scope))
        return items[index : index + 1] if index is not None and index >= 0 else []

    return at


def _members(name: str) -> StepRun:
    """Return the step to the children of that name; what the name means under a path is looked up once."""
    table: dict[str, tuple[Child, ...]] = {}

    def run(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
        out: Collection = []
        for item in items:
            if type(item) is Node and type(item.raw) is dict:
                found = table.get(item.path)
                if found is None:
                    found = children_named(item.path, name)
                    if found:
                        table[item.path] = found
                add_children(item, found, out)
            elif type(item) is Node:
                member(item, name, out)
            elif type(item) is TypeInfo and name in _TYPE_INFO:
                out.append(_TYPE_INFO[name](item))
        return out

    return run


_TYPE_INFO: dict[str, Callable[[TypeInfo], str]] = {
    "namespace": lambda info: info.namespace,
    "name": lambda info: info.name,
    "baseType": lambda info: info.base,
}


def _head(tree: ast.Member) -> Run:
    """Return a leading name: the type of the focus itself, or one of its children."""
    name = tree.name
    if not names_type(name):
        down = _members(name)
        return lambda scope: down(scope, scope.this)

    def run(scope: Scope) -> Collection:
        return [item for item in scope.this if type(item) is Node and is_fhir(item.type, name)]

    return run


def _call(tree: ast.Call) -> Run:
    invoke = _invoke(tree)

    def run(scope: Scope) -> Collection:
        out = invoke(scope, scope.this)
        scope.charge(len(out) + 1)
        return out

    return run


def _invoke(call: ast.Call) -> StepRun:
    """Return the step of a function call, its arguments prepared by their kinds."""
    function = FUNCTIONS.get(call.name)
    if function is None:
        raise FhirPathError(f"FHIRPath: there is no function '{call.name}'", id="fhirpath-function")
    kinds = _kinds(function, call)
    arguments = tuple(_argument(kind, tree) for kind, tree in zip(kinds, call.args, strict=True))
    perform = function.call
    if "v" not in kinds:
        return lambda scope, items: perform(scope, items, *arguments)
    if kinds == "v":
        only = arguments[0]
        return lambda scope, items: perform(scope, items, only(scope))

    def run(scope: Scope, items: Collection) -> Collection:
        values = [a(scope) if kind == "v" else a for kind, a in zip(kinds, arguments, strict=True)]
        return perform(scope, items, *values)

    return run


def _kinds(function: Function, call: ast.Call) -> str:
    """Return the kinds of the arguments that are given; refuses a wrong number of them."""
    kinds = function.required + function.optional
    if kinds.endswith("*"):
        kinds = kinds[:-1] + kinds[-2] * max(0, len(call.args) - len(kinds) + 1)
    if not len(function.required.rstrip("*")) <= len(call.args) <= len(kinds):
        raise FhirPathError(f"FHIRPath: wrong number of arguments for '{call.name}'", id="fhirpath-function")
    return kinds[: len(call.args)]


def _argument(kind: str, tree: ast.Expr) -> Any:
    """Prepare one argument."""
    if kind == "t":
        type_ = ast.type_name(tree)
        if type_ is None:
            raise FhirPathError("FHIRPath: expected the name of a type", id="fhirpath-type")
        check_type(type_)
        return type_
    if kind == "s" and isinstance(tree, ast.Sign) and tree.sign == "-":
        return compile_tree(tree.operand), -1
    return (compile_tree(tree), 1) if kind == "s" else compile_tree(tree)


def _path(tree: ast.Path) -> Run:
    head = compile_tree(tree.head)
    steps = tuple(_steps(tree.steps))

    def run(scope: Scope) -> Collection:
        items = head(scope)
        for step in steps:
            items = step(scope, items)
            scope.left -= len(items) + 1
        if scope.left < 0:
            scope.charge(0)
        return items

    return run


def _steps(steps: tuple[ast.Step, ...]) -> list[StepRun]:
    """Return the steps, with `resolve().is(Type)` as one that also understands literal references."""
    out: list[StepRun] = []
    for at, step in enumerate(steps):
        before = steps[at - 1] if at else None
        if isinstance(step, ast.Call) and step.name == "is" and len(step.args) == 1 and _is_resolve(before):
            out[-1] = _refers(_argument("t", step.args[0]))
        else:
            out.append(_step(step))
    return out


def _is_resolve(step: ast.Expr | ast.Step | None) -> bool:
    return isinstance(step, ast.Call) and step.name == "resolve"


def _refers(type_: ast.TypeName) -> StepRun:
    """Return the test of a reference's target type: of the target where it is at hand, else by the reference's text."""
    resolve = FUNCTIONS["resolve"].call

    def run(scope: Scope, items: Collection) -> Collection:
        if len(items) != 1:
            return boolean(None) if not items else _is(scope, items, type_)
        found = resolve(scope, items)
        if found:
            return [is_type(found[0], type_)]
        named = referred_type(items[0].raw) if type(items[0]) is Node else referred_type(items[0])
        return [] if named is None else [is_fhir(named, type_.name)]

    return run


def _is(scope: Scope, items: Collection, type_: ast.TypeName) -> Collection:
    return FUNCTIONS["is"].call(scope, items, type_)


def _type_test(tree: ast.TypeTest) -> Run:
    check_type(tree.type)
    type_ = tree.type
    operand = tree.operand
    if tree.operator == "is" and isinstance(operand, ast.Call) and _is_resolve(operand):
        refers = _refers(type_)
        return lambda scope: refers(scope, scope.this)
    if tree.operator == "is" and isinstance(operand, ast.Path) and _is_resolve(operand.steps[-1]):
        before = compile_tree(ast.Path(operand.head, operand.steps[:-1]) if operand.steps[1:] else operand.head)
        refers = _refers(type_)
        return lambda scope: refers(scope, before(scope))
    inner = compile_tree(operand)
    perform = FUNCTIONS[tree.operator].call
    return lambda scope: perform(scope, inner(scope), type_)


def _sign(tree: ast.Sign) -> Run:
    inner = compile_tree(tree.operand)
    factor = -1 if tree.sign == "-" else 1

    def run(scope: Scope) -> Collection:
        value = one(inner(scope))
        if value is None:
            return []
        if type(value) is Quantity:
            return [Quantity(factor * value.value, value.unit, value.calendar)]
        if type(value) is bool or not hasattr(value, "__neg__"):
            raise wrong_type("only numbers and quantities have a sign")
        return [factor * value]

    return run


def _binary(tree: ast.Binary) -> Run:
    left, right = compile_tree(tree.left), compile_tree(tree.right)
    if tree.operator in LOGIC:
        return _logic(tree.operator, left, right)
    operate = OPERATORS[tree.operator]
    return lambda scope: operate(scope, left(scope), right(scope))


def _logic(operator: str, left: Run, right: Run) -> Run:
    """Return a boolean operator that leaves its right side alone when the left one decides."""
    decider, decision, table = LOGIC[operator]

    def run(scope: Scope) -> Collection:
        first = truth(left(scope))
        if first is decider and decider is not None:
            return [decision]
        return boolean(table(first, truth(right(scope))))

    return run


def _union(tree: ast.Union) -> Run:
    parts = tuple(compile_tree(part) for part in tree.parts)

    def run(scope: Scope) -> Collection:
        items = [item for part in parts for item in part(scope)]
        scope.charge(len(items))
        return distinct(scope, items)

    return run


_COMPILERS: dict[type, Callable[[Any], Run]] = {
    ast.Literal: _literal,
    ast.Empty: _empty,
    ast.Variable: _variable,
    ast.Special: _special,
    ast.Member: _head,
    ast.Call: _call,
    ast.Path: _path,
    ast.Sign: _sign,
    ast.Binary: _binary,
    ast.Union: _union,
    ast.TypeTest: _type_test,
}
