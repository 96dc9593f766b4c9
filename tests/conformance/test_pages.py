"""docs/conformance says what the suites say: a number out of a number, and every exception by name."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.cli.conformance import NOT_BUILT, PAGES, PUBLIC, find_runners, pages
from tests.r4_examples import examples
from tests.shared_data import shared


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    for name in PUBLIC:
        shared(name)
    examples()
    runners = find_runners()
    names = [*PUBLIC, *(name for name in runners if name not in PUBLIC)]
    return {name: runners[name]() if name in runners else NOT_BUILT for name in names}


def test_the_pages_are_those_of_a_new_run(found: dict[str, Any]) -> None:
    texts = pages(found)
    stale = [name for name, text in texts.items() if (PAGES / name).read_text(encoding="utf-8") != text]
    assert not stale, "run ./clarity conformance --write"


def test_what_does_not_pass_is_excepted_by_name(found: dict[str, Any]) -> None:
    ran = {name: result for name, result in found.items() if result != NOT_BUILT}
    assert len(ran) >= 4
    for name, result in ran.items():
        assert result["passed"] > 0, name
        assert result["passed"] + len(result["exceptions"]) == result["total"], name
        assert all(result["exceptions"].values()), name
