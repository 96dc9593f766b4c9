"""Which process of `./clarity test` runs what: a file is run by one, and so is a room whose files share an instance.

What takes longest comes first, so that no process is left alone with it at the end.
"""

from __future__ import annotations

from collections import Counter

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

TOGETHER = ("tests/apps/", "tests/clients/")
"""Rooms with an instance that takes longer to start than most files take."""
LONG = (
    "tests/apps/",
    "tests/conformance/test_synthea.py",
    "tests/fire/test_main_job.py",
    "tests/workers/test_reindex_process.py",
    "tests/clients/",
    "tests/subscriptions/test_misbehaving.py",
    "tests/workers/test_process.py",
    "tests/cli/test_up.py",
    "tests/docs/test_readme.py",
)
"""Longest first; a file that is not named comes after these, by how many tests it has."""


def unit(nodeid: str) -> str:
    """Return what is run by one process: the file of a test, or its room."""
    return next((room for room in TOGETHER if nodeid.startswith(room)), nodeid.split("::", 1)[0])


def place(name: str) -> int:
    """Return where a unit stands in the order."""
    return LONG.index(name) if name in LONG else len(LONG)


class Spread(LoadFileScheduling):
    """xdist's spreading of files, with rooms as one."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Spread | None:
    """Spread by units where files were asked for, in the order in which they are collected."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Spread(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the units in order, alike in each process of xdist; within a unit nothing changes."""
    if hasattr(config, "workerinput") and config.getoption("dist") == "loadfile":
        ordered(items)


def ordered(items: list[pytest.Item]) -> None:
    """Sort: first what is long, then what has many tests."""
    count = Counter(unit(item.nodeid) for item in items)
    items.sort(key=lambda item: (place(unit(item.nodeid)), -count[unit(item.nodeid)]))
