"""Print the pinned packages of pyproject.toml, one a line: `python deploy/pins.py [EXTRA]`; `base` means no extra."""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def pins(extra: str = "base") -> list[str]:
    """Return the pins, with those of an extra."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    more = [] if extra == "base" else project["optional-dependencies"][extra]
    return [*project["dependencies"], *more]


if __name__ == "__main__":
    sys.stdout.write("\n".join(pins(*sys.argv[1:2])) + "\n")
