"""docs/conformance/smart.md says what the marks of the tests say, and nothing is left without an answer."""

from tests.conformance.smart_report import REPORT, marked, report
from tests.conformance.smart_statements import NOT_APPLICABLE, OPEN, STATEMENTS


def test_the_report_is_that_of_the_marks() -> None:
    assert REPORT.read_text(encoding="utf-8") == report(marked()), "run python -m tests.conformance.smart_report"


def test_every_statement_has_one_answer() -> None:
    groups = [set(STATEMENTS), set(NOT_APPLICABLE), set(OPEN)]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_every_mark_names_a_statement_that_is_to_be_tested() -> None:
    assert marked().keys() <= STATEMENTS.keys()


def test_every_statement_that_is_to_be_tested_is() -> None:
    assert not STATEMENTS.keys() - marked().keys()
