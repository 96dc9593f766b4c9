"""docs/conformance/smart.md: every statement of SMART App Launch 2.2 about servers, with its tests or the reason why it has none.

`python -m tests.conformance.smart_report` writes it; `tests/house/test_smart_report.py` fails when it is not what the marks say.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.smart_statements import NOT_APPLICABLE, OPEN, STATEMENTS

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs" / "conformance" / "smart.md"
Tests = dict[int, list[str]]
Texts = dict[int, str]


def marked(folder: Path = ROOT / "tests", mark: str = "pytest.mark.smart") -> Tests:
    """Return the tests that are marked with each statement, found without running them."""
    found: Tests = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for number in _numbers(node, mark):
                    found[number].append(f"{path.relative_to(ROOT / 'tests')}::{node.name}")
    return found


def _numbers(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> list[int]:
    marks = [each for each in node.decorator_list if isinstance(each, ast.Call)]
    return [
        argument.value
        for mark in marks
        if ast.unparse(mark.func) == name
        for argument in mark.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, int)
    ]


def counted(tests: Tests, statements: Texts, not_applicable: Texts, waiting: Texts) -> str:
    """Return how many of some statements are tested, not applicable and open."""
    tested = sum(number in tests for number in statements)
    still = len(waiting) + len(statements) - tested
    return f"{tested} tested, {len(not_applicable)} not applicable, {still} open"


def rows(tests: Tests, statements: Texts, waiting: Texts) -> Iterator[str]:
    """Yield the lines of a table: each statement with its tests, then those that are open and why."""
    for number, text in sorted(statements.items()):
        named = "<br>".join(f"`{name}`" for name in tests.get(number, ())) or "**open**: no test"
        yield f"| {number} | {text} | {named} |"
    for number, reason in sorted(waiting.items()):
        yield f"| {number} | | **open**: {reason} |"


def counts(tests: Tests) -> str:
    """Return how many statements are tested, not applicable and open."""
    return counted(tests, STATEMENTS, NOT_APPLICABLE, OPEN)


def report(tests: Tests) -> str:
    """Return the document."""
    lines = [
        "# SMART App Launch 2.2",
        "",
        "The statements about servers, by the numbers of the public requirement set of Inferno's SMART test kit (MAY left out), in",
        "our words. Made from the marks of the tests by `python -m tests.conformance.smart_report`.",
        "",
        f"**{counts(tests)}.**",
        "",
        "| # | statement | tests |",
        "|---|---|---|",
    ]
    lines += rows(tests, STATEMENTS, OPEN)
    lines += ["", "## Not applicable", "", "| # | why |", "|---|---|"]
    reasons: dict[str, list[int]] = defaultdict(list)
    for number, reason in sorted(NOT_APPLICABLE.items()):
        reasons[reason].append(number)
    lines += [f"| {', '.join(map(str, numbers))} | {reason} |" for reason, numbers in reasons.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    found = marked()
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(report(found), encoding="utf-8")
    sys.stdout.write(counts(found) + "\n")
