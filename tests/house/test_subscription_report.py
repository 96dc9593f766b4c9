"""docs/conformance/subscriptions.md says what the marks of the tests say, and nothing is left without an answer."""

from tests.conformance.subscription_report import MARK, REPORT, marked, report
from tests.conformance.subscription_statements import NOT_APPLICABLE, OPEN, STATEMENTS


def test_the_report_is_that_of_the_marks() -> None:
    assert REPORT.read_text(encoding="utf-8") == report(marked(mark=MARK)), (
        "run python -m tests.conformance.subscription_report"
    )


def test_every_statement_has_one_answer() -> None:
    groups = [set(STATEMENTS), set(NOT_APPLICABLE), set(OPEN)]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_every_mark_names_a_statement_that_is_to_be_tested() -> None:
    assert marked(mark=MARK).keys() <= STATEMENTS.keys()


def test_every_statement_that_is_to_be_tested_is() -> None:
    assert not STATEMENTS.keys() - marked(mark=MARK).keys()
