"""Writes which tests failed into the file that CLARITY_FAILED_TESTS names: what `./clarity test` looks at once more, alone.

A module that cannot be collected leaves no file: nothing about it gets better by itself.
"""

import os
from pathlib import Path

import pytest

_failed: dict[str, None] = {}
_uncollected: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the name of what failed, in set-up and tear-down too."""
    if report.failed:
        _failed[report.nodeid] = None


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Keep the name of what could not be collected."""
    if report.failed:
        _uncollected.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the names down, in the process that speaks for all."""
    target = os.environ.get("CLARITY_FAILED_TESTS")
    if target and not hasattr(session.config, "workerinput") and not _uncollected:
        Path(target).write_text("\n".join(_failed), "utf-8")
