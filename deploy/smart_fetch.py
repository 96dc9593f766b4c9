"""Install SMART Health IT's application `smart-fetch` for the test that runs it: `python deploy/smart_fetch.py`.

It gets an environment of its own in `.clarity/smart-fetch`, for its packages are other than ours: exactly those of
tests/clients/smart-fetch.txt.
"""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WANTED = ROOT / "tests" / "clients" / "smart-fetch.txt"
PLACE = ROOT / ".clarity" / "smart-fetch"
_OPTIONS = ("--quiet", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check")


def stamp() -> str:
    """Return what tells one set of packages from another."""
    return hashlib.sha256(WANTED.read_bytes()).hexdigest()


def installed() -> bool:
    """Tell whether the application is there."""
    mark = PLACE / "installed"
    return mark.exists() and mark.read_text(encoding="utf-8") == stamp()


def program() -> Path:
    """Return the application."""
    return PLACE / "bin" / "smart-fetch"


def main() -> int:
    """Install it unless it is there; non-zero when that fails."""
    if installed():
        return 0
    venv.create(PLACE, clear=True, with_pip=True)
    command = [str(PLACE / "bin" / "python"), "-m", "pip", "install", *_OPTIONS, "-r", str(WANTED)]
    done = subprocess.run(command, check=False)  # noqa: S603  the pip of the environment that was just made
    if done.returncode == 0:
        (PLACE / "installed").write_text(stamp(), encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
