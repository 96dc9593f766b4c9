"""Runs the collected tests as often as there are faults, each time in a fork: `pytest -p tests.mutation.plugin`, by `runs.py`.

To start Python, to import the server and to collect takes longer than most tests of the policy. Here it is done once. A fork
begins before the first fixture, with a database of its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.mutation.patch import file_of

Work = Callable[["Tests"], None]
_work: list[Work] = []
"""What is to be done with the tests once they are collected."""
Reached = dict[str, tuple[float, dict[str, list[int]]]]
"""By test: seconds, and by module the lines that it came by."""


def do(work: Work) -> None:
    """Take the tests, once they are collected, and do this with them."""
    _work.append(work)


class _Followed:
    """Notes the lines of some files."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.files = {file_of(name): name for name in modules}
        self.lines: set[tuple[str, int]] = set()

    def called(self, frame: FrameType, event: str, arg: object) -> Any:
        """Follow the functions of those files alone."""
        name = self.files.get(frame.f_code.co_filename)
        if name is None:
            return None

        def line(frame: FrameType, event: str, arg: object) -> Any:
            self.lines.add((name, frame.f_lineno))
            return line

        return line(frame, event, arg)

    def by_module(self) -> dict[str, list[int]]:
        """Return what was come by."""
        found: dict[str, list[int]] = {}
        for name, number in sorted(self.lines):
            found.setdefault(name, []).append(number)
        return found


class _Failures:
    """Which tests failed."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one."""
        if report.failed:
            self.names.append(report.nodeid)


class Tests:
    """The collected tests."""

    def __init__(self, session: pytest.Session) -> None:
        self.session = session
        self.items = {item.nodeid: item for item in session.items if "second" not in item.nodeid}

    def follow(self, modules: Sequence[str], database: str, to: Path) -> None:
        """Run all and write what each came by; exit status 0 when none failed."""
        found: Reached = {}

        def each(item: pytest.Item, following: pytest.Item | None) -> None:
            followed, begun = _Followed(modules), time.perf_counter()
            sys.settrace(followed.called)
            try:
                self._protocol(item, following)
            finally:
                sys.settrace(None)
            found[item.nodeid] = (time.perf_counter() - begun, followed.by_module())

        failed = self._run(list(self.items), database, each)
        to.write_text(json.dumps([failed, found]), encoding="utf-8")

    def first_failing(self, names: Sequence[str], database: str, to: Path) -> None:
        """Run some in this order until one fails, and write which, "" for none."""
        to.write_text(self._run(names, database, self._protocol), encoding="utf-8")

    def _protocol(self, item: pytest.Item, following: pytest.Item | None) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _run(self, names: Sequence[str], database: str, each: Callable[[pytest.Item, pytest.Item | None], None]) -> str:
        os.environ["TEST_DATABASE_URL"] = database
        failures = _Failures()
        plugins = self.session.config.pluginmanager
        plugins.unregister(name="terminalreporter")
        plugins.register(failures)
        items = [self.items[name] for name in names]
        try:
            for at, item in enumerate(items):
                each(item, items[at + 1] if at + 1 < len(items) else None)
                if failures.names:
                    return failures.names[0]
        finally:
            self.session._setupstate.teardown_exact(None)  # ends servers that a fixture started
        return failures.names[0] if failures.names else ""


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Do what was asked, in place of running the tests once."""
    if session.testsfailed:
        raise session.Interrupted("what does not collect notices nothing")
    tests = Tests(session)
    while _work:
        _work.pop(0)(tests)
    return True
