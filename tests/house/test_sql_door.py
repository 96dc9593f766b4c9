"""One room asks for resources (design §6): SQL on resources stands where a Visibility is compiled into it, and nowhere else."""

import ast
import re
from pathlib import Path

import pytest

from fhir_server.storage.statements import COPY_COLUMNS
from tests.house.tree import code, name

DOORS = ("fhir_server/storage/", "fhir_server/search/", "migrations/")
OF_THEIR_OWN = {"audit", "outbox"}
"""Tables that hold no resource and have a room of their own beside storage."""
TABLES = sorted({"resource", "history", "ident", "compartment", "series", *COPY_COLUMNS} - OF_THEIR_OWN)
_TABLE = rf"""\."?(?:{"|".join(TABLES)})"?\b"""
NAMES = re.compile(rf"(?i)\{{s\}}{_TABLE}|\b(?:from|join|into|update|table|only|using|copy)\s+\S+{_TABLE}")
"""A table with its schema: no statement names one without (no `search_path` is set)."""


def asks_for_resources(text: str) -> bool:
    """Tell whether a string names a table of resources as SQL does."""
    return bool(NAMES.search(text))


def sql_of(path: Path) -> list[tuple[int, str]]:
    """Return the strings of a module, docstrings aside, with the parts of f-strings put together."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "?" for part in node.values)
            found.append((node.lineno, "".join(map(str, parts))))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            found.append((node.lineno, node.value))
    return found


def test_sql_on_resources_stands_in_storage_and_search_only() -> None:
    outside = [
        f"{name(path)}:{line} {' '.join(text.split())[:80]}"
        for path in code()
        if not name(path).startswith(DOORS)
        for line, text in sql_of(path)
        if asks_for_resources(text)
    ]
    assert not outside, "move the statement into storage, with a Visibility or under a name that says why without"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT body FROM {s}.resource WHERE rid = $1",
        "SELECT 1 FROM {s}.history h",
        "{s}.ix_date",
        "DELETE FROM {s}.ix_string",
        "select * from t_default.resource join x using (rid)",
        "UPDATE ?.resource SET body = NULL",
        'COPY "t_default"."resource" TO STDOUT',
    ],
)
def test_what_the_rule_finds(text: str) -> None:
    assert asks_for_resources(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT agent FROM {s}.audit WHERE rid = $1",
        "the history of a resource",
        "update resource",
        "{s}.job",
        "?.resource.id",
        "SELECT r.rid FROM resource r",
    ],
)
def test_what_the_rule_leaves_alone(text: str) -> None:
    assert not asks_for_resources(text)
