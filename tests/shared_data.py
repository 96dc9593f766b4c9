"""Where the public suites lie, and what happens when one is missing: a skip by name, a failure in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared(name: str) -> Path:
    """Return the folder `../shared/data/<name>`; skip the test (fail under CI) when it is not there."""
    path = ROOT.parent / "shared" / "data" / name
    if not path.exists():
        message = f"public suite {name!r} is not at ../shared/data"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
