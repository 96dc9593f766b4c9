"""Which version of the code runs; `pyproject.toml` says the same, checked by a test."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
