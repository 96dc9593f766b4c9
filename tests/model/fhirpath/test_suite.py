"""The public suite, all of it; what we do not pass is listed with the reason, and the list may only shrink."""

import json
from pathlib import Path

from tests.model.fhirpath.suite import load, run_suite
from tests.shared_data import shared

EXCEPTIONS = json.loads((Path(__file__).parent / "exceptions.json").read_text())


def test_every_case_passes_but_those_excepted() -> None:
    passed, total, failures = run_suite(shared("fhirpath-r4"))
    unexpected = [f"{failure.id}: {failure.reason}" for failure in failures if failure.id not in EXCEPTIONS]
    assert unexpected == []
    assert total == 935
    assert passed == total - len(EXCEPTIONS)


def test_no_exception_is_out_of_date() -> None:
    path = shared("fhirpath-r4")
    failing = {failure.id for failure in run_suite(path)[2]}
    assert set(EXCEPTIONS) <= failing, "a case that passes must leave exceptions.json"
    assert set(EXCEPTIONS) <= {case.id for case in load(path)}
