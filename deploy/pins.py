"""Print the pinned packages of pyproject.toml, one a line: `python deploy/pins.py [EXTRA]`.

`base` means no extra; `dev` takes `models` with it, because the tests train and compare.
"""

import sys
import tomllib
from pathlib import Path

TAKES = {"base": (), "models": ("models",), "dev": ("models", "dev")}
PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def pins(extra: str = "base") -> list[str]:
    """Return the pins, with those of an extra."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(pin for name in TAKES[extra] for pin in extras[name])]


if __name__ == "__main__":
    sys.stdout.write("\n".join(pins(*sys.argv[1:2])) + "\n")
