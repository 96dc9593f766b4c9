"""Behind the door too: a function that writes SQL on resources compiles a Visibility into it, or stands here with the reason.

What is new and does neither fails; so does a reason whose function is gone. `test_sql_door.py` says where SQL may stand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.test_sql_door import asks_for_resources
from tests.house.tree import code, name

ROOMS = ("fhir_server/storage/", "fhir_server/search/")
COMPILERS = {"visible_sql", "visible_types_sql"}
"""What turns a Visibility into a condition."""
THROUGH = COMPILERS | {"there", "_filtered", "_take", "seen()"}
"""Beside these: what does it for the Visibility that it is given."""

PART = "a part of a statement whose other part carries the policy"
HELD = "looks at rows of an index for a row that the statement has found under the policy"
NUMBERS = "answers numbers that no caller sees"
WRITES = "writes what was authorised, under a lock on the row"

WITHOUT: dict[str, str] = {
    "fhir_server/search/compile.py::_source": "which table a condition reads; its rows are joined to one under the policy",
    "fhir_server/search/gather.py::_present": "which types there are at all, so that a wildcard does not look for the others",
    "fhir_server/search/join.py::_crowded": "how long series are, to choose between two ways to the same answer",
    "fhir_server/search/join.py::_referring": "rows that hold a key, narrowed by the policy in the statement that uses them",
    "fhir_server/search/record.py::_dated": HELD,
    "fhir_server/search/select.py::_rows": PART,
    "fhir_server/search/select.py::page": "rows by the numbers that the part within has found under the policy",
    "fhir_server/search/select.py::_text": PART,
    "fhir_server/search/series.py::_bound": HELD,
    "fhir_server/search/series.py::_dated": HELD,
    "fhir_server/search/statistics.py::_measured": PART,
    "fhir_server/search/statistics.py::_figures": PART,
    "fhir_server/storage/amend.py::amend": WRITES,
    "fhir_server/storage/aside.py::listed": "for workers, and names and numbers for administrators",
    "fhir_server/storage/aside.py::take": "for workers, who judge each event by its subscriber's Visibility",
    "fhir_server/storage/care.py::related": "finds what a Visibility is made of",
    "fhir_server/storage/care.py::referring": "finds what a Visibility is made of",
    "fhir_server/storage/care.py::own_patients": "finds what a Visibility is made of",
    "fhir_server/storage/care.py::referred": "finds what a Visibility is made of",
    "fhir_server/storage/claims.py::holder": "claims hold the caller's sight in their key",
    "fhir_server/storage/claims.py::release": "claims hold the caller's sight in their key",
    "fhir_server/storage/commit.py::_delete_index": WRITES,
    "fhir_server/storage/reads.py::any_holds": "tells whether what a Visibility keeps back is there at all",
    "fhir_server/storage/reads.py::any_of_others": "tells whether what a Visibility keeps back is there at all",
    "fhir_server/storage/retention.py::forget": "the custodian's rule, run by workers: forgets, returns nothing",
    "fhir_server/storage/consents.py::changed": "finds what a Visibility is made of",
    "fhir_server/storage/ident.py::rids": NUMBERS,
    "fhir_server/storage/ident.py::look_up": NUMBERS,
    "fhir_server/storage/ident.py::names": "turns numbers that were found under the policy back into names",
    "fhir_server/storage/outbox.py::read_events": "for workers, who judge each event by its subscriber's Visibility",
    "fhir_server/storage/own_index.py::behind": "workers make index entries anew",
    "fhir_server/storage/own_index.py::one": "workers make index entries anew",
    "fhir_server/storage/own_index.py::count": "workers make index entries anew",
    "fhir_server/storage/own_index.py::put": "workers make index entries anew",
    "fhir_server/storage/own_index.py::_held": "workers make index entries anew",
    "fhir_server/storage/reads.py::fetch": "bodies of rids that a statement with a Visibility has returned",
    "fhir_server/storage/reads.py::exact": "for workers, who judge each version by its subscriber's Visibility",
    "fhir_server/storage/reads.py::holding": NUMBERS,
    "fhir_server/storage/reads.py::stamp": NUMBERS,
    "fhir_server/storage/reads.py::versions": NUMBERS,
    "fhir_server/storage/reads.py::_current_at": PART,
    "fhir_server/storage/reads.py::_history_half": PART,
    "fhir_server/storage/reads.py::claimed": "numbers for the audit row of a refusal",
    "fhir_server/storage/reindex.py::reindex": "workers make index entries anew",
    "fhir_server/storage/reindex.py::_replace": "workers make index entries anew",
    "fhir_server/storage/traced.py::again_sql": WRITES,
    "fhir_server/storage/traced.py::patients_of": NUMBERS,
    "fhir_server/storage/traced.py::telling": NUMBERS,
    "fhir_server/storage/statements.py::replace": WRITES,
    "fhir_server/storage/tally.py::add": WRITES,
    "fhir_server/storage/tally.py::count": "for who sees all of a type, while it counts nothing that is kept from them",
    "fhir_server/storage/tally.py::fold": WRITES,
    "fhir_server/storage/tally.py::fill": WRITES,
}


def _strings(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in each.values)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def _asks(node: ast.AST) -> bool:
    return any(asks_for_resources(text) for text in _strings(node))


def _constants(tree: ast.Module) -> set[str]:
    """Return the module's names for SQL on resources, also those that are put together from others."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            used = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
            if isinstance(target, ast.Name) and (_asks(node.value) or used & found):
                found.add(target.id)
    return found


def _calls(node: ast.AST) -> set[str]:
    """Return the methods that are called, as `name()`."""
    calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return {f"{func.attr}()" for func in calls if isinstance(func, ast.Attribute)}


def functions(source: str) -> Iterator[tuple[str, bool]]:
    """Yield the functions of a module that write SQL on resources, and whether the policy goes into it."""
    tree = ast.parse(source)
    constants = _constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            prose = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            body = ast.Module(node.body[1:] if prose else node.body, [])
            used = {each.id for each in ast.walk(body) if isinstance(each, ast.Name)}
            used |= {each.attr for each in ast.walk(body) if isinstance(each, ast.Attribute)} | _calls(body)
            if _asks(body) or used & constants:
                yield node.name, bool(used & THROUGH)


def _files() -> list[Path]:
    return [path for path in code() if name(path).startswith(ROOMS) and "/schema/" not in name(path)]


def test_every_statement_on_resources_carries_the_policy_or_says_why_not() -> None:
    found = {
        f"{name(path)}::{function}": carries for path in _files() for function, carries in functions(path.read_text())
    }
    bare = {at for at, carries in found.items() if not carries}
    assert bare - WITHOUT.keys() == set(), "compile a Visibility into the statement, or say here why not"
    assert WITHOUT.keys() - bare == set(), "these carry the policy now, or are gone: take them out here"


def test_the_conditions_that_stand_for_others_compile_a_visibility() -> None:
    """`there`, `_filtered` and `_take` are trusted above; each of them ends in a compiler of Visibilities."""
    for file, function in (
        ("compile.py", "there"),
        ("gather.py", "_take"),
        ("lastn.py", "_filtered"),
        ("run.py", "_seen"),
    ):
        tree = ast.parse(_source(file))
        node = next(
            n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == function
        )
        used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} | _calls(node)
        assert used & (COMPILERS | {"seen()"}), function


def _source(file: str) -> str:
    return next(path for path in _files() if name(path) == f"fhir_server/search/{file}").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(t):\n    return 'SELECT body FROM {s}.resource'", [("f", False)]),
        ("_Q = 'SELECT 1 FROM {s}.history h'\ndef f(t):\n    return _Q", [("f", False)]),
        (
            "_Q = 'SELECT 1 FROM {s}.history h'\n_R = _Q + ' x'\nasync def f(t):\n    return await t.fetch(_R)",
            [("f", False)],
        ),
        (
            "def f(t, v, a):\n    return f'SELECT 1 FROM {{s}}.resource r WHERE {visible_sql(\"r\", v, a)}'",
            [("f", True)],
        ),
        ("def f(t):\n    '''Reads FROM {s}.resource.'''\n    return 1", []),
    ],
)
def test_what_the_rule_finds(source: str, found: list[tuple[str, bool]]) -> None:
    assert list(functions(source)) == found
