"""docs/conformance/subscriptions.md: every statement of the Subscriptions Backport about R4 servers, with its tests.

`python -m tests.conformance.subscription_report` writes it; `tests/house/test_subscription_report.py` compares it with the marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conformance.smart_report import Tests, counted, marked, rows
from tests.conformance.subscription_statements import NOT_APPLICABLE, OPEN, STATEMENTS

ROOT = Path(__file__).resolve().parents[2]
MARK = "pytest.mark.subscription"
REPORT = ROOT / "docs" / "conformance" / "subscriptions.md"


def counts(tests: Tests) -> str:
    """Return how many statements are tested, not applicable and open."""
    return counted(tests, STATEMENTS, NOT_APPLICABLE, OPEN)


def report(tests: Tests) -> str:
    """Return the document."""
    lines = [
        "# Subscriptions R5 Backport 1.1 on R4",
        "",
        "The statements about R4 servers, by the numbers of the public requirement set of Inferno's subscriptions test kit (MAY",
        "left out), in our words. Made from the marks of the tests by `python -m tests.conformance.subscription_report`.",
        "",
        f"**{counts(tests)}.**",
        "",
        "| # | statement | tests |",
        "|---|---|---|",
    ]
    lines += rows(tests, STATEMENTS, OPEN)
    lines += [f"| {number} | | not applicable: {reason} |" for number, reason in sorted(NOT_APPLICABLE.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    found = marked(mark=MARK)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(report(found), encoding="utf-8")
    sys.stdout.write(counts(found) + "\n")
