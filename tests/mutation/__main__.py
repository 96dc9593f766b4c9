"""Run the tests of the policy compiler against faults in it, and write down how many they notice.

`python -m tests.mutation --most 20 --write` tries 20 faults of each module, chosen by a fixed seed; without `--most` all of them.
A fault counts as noticed when a test fails, or when the tests take so long that they never end. One PostgreSQL serves all
runs, each with a database of its own, copied from one that is migrated. What came of each fault stands in `--log` at once:
whoever starts again with the same file goes on where the last run stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from fhir_server.cli.embedded import embedded_postgres
from fhir_server.storage import migrate
from tests.conftest import TENANTS
from tests.mutation.mutants import places

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "conformance" / "mutation.md"
SECONDS = 1_500
"""Many times what the tests take, also on a machine that does other work: who is slower is in a loop."""
TEMPLATE, COPY = "mutation_template", "mutation_run"
_AUTH = "tests/auth/"
MODULES: dict[str, tuple[str, ...]] = {
    "fhir_server.storage.visibility": ("test_consent_oracle.py", "test_policy.py"),
    "fhir_server.auth.consent.compiled": ("test_consent_oracle.py", "test_consent.py"),
    "fhir_server.auth.consent.rules": ("test_consent_oracle.py", "test_consent.py"),
    "fhir_server.auth.consent.known": ("test_consent.py",),
    "fhir_server.auth.consent.callers": ("test_consent.py",),
    "fhir_server.auth.labels": ("test_labels.py",),
    "fhir_server.auth.policy": (
        "test_policy.py",
        "test_care.py",
        "../operations/test_break_glass.py",
        "test_labels.py",
    ),
    "fhir_server.auth.glass": ("../operations/test_break_glass.py",),
    "fhir_server.auth.reach": ("test_policy.py", "test_care.py"),
    "fhir_server.auth.care": ("test_care.py",),
}
"""Modules, with the tests that have to notice a fault in them."""


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _fresh(url: str, name: str, template: str | None = None) -> str:
    """Make an empty database, or a copy of one: what a run leaves behind is under keys that the next one does not have."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    finally:
        await connection.close()
    return _named(url, name)


def _run(tests: tuple[str, ...], url: str, mutant: str = "") -> bool:
    """Tell whether the tests notice; they run with one tenant of the two."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "tests.mutation.plugin", "-k", "not second"]
    command += ["-p", "no:cacheprovider", "-m", "not slow", *(_AUTH + name for name in tests)]
    environment = os.environ | {"MUTANT": mutant, "TEST_DATABASE_URL": asyncio.run(_fresh(url, COPY, TEMPLATE))}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


class Log:
    """What came of each fault, a line each."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        self.known: dict[str, bool] = dict(json.loads(line) for line in lines)

    def add(self, mutant: str, *, noticed: bool) -> None:
        """Keep one."""
        self.known[mutant] = noticed
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([mutant, noticed]) + "\n")


def _try(module: str, most: int | None, url: str, log: Log) -> tuple[int, int, list[str]]:
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    found = places(source)
    chosen = found if most is None else random.Random(module).sample(found, min(most, len(found)))
    survived = []
    for place, choice, was, becomes in sorted(chosen):
        mutant = f"{module}:{place}:{choice}"
        if mutant not in log.known:
            log.add(mutant, noticed=_run(MODULES[module], url, mutant))
            print(f"{module} {was} -> {becomes}: {'noticed' if log.known[mutant] else 'SURVIVED'}", flush=True)
        if not log.known[mutant]:
            survived.append(f"`{was}` → `{becomes}`".replace("|", "\\|"))
    return len(chosen), len(found), survived


def _page(results: dict[str, tuple[int, int, list[str]]]) -> str:
    tried, noticed = sum(t for t, _, _ in results.values()), sum(t - len(s) for t, _, s in results.values())
    lines = [
        "# Faults in the policy compiler",
        "",
        f"Generated by `python -m tests.mutation --write`. Of {tried} faults that were tried, the tests notice **{noticed}**.",
        "",
        "| module | faults there are | tried | noticed |",
        "|---|---|---|---|",
        *(f"| `{name}` | {all_} | {t} | {t - len(s)} |" for name, (t, all_, s) in results.items()),
    ]
    if any(s for _, _, s in results.values()):
        lines += ["", "Not noticed (line, what it was, what it became):", ""]
        lines += [f"- `{name}` {each}" for name, (_, _, s) in results.items() for each in s]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=None, help="so many faults of each module")
    parser.add_argument("--module", action="append", default=None, help="only these")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--log", type=Path, default=None, help="what came of each fault, to go on from")
    given = parser.parse_args()
    log = Log(given.log)
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as url:
        migrate.upgrade(asyncio.run(_fresh(url, TEMPLATE)), TENANTS)
        tests = dict.fromkeys(test for name in given.module or MODULES for test in MODULES[name])
        if not log.known and (failing := [test for test in tests if _run((test,), url)]):
            sys.exit(f"without any fault these tests fail already: {', '.join(failing)}")
        page = _page({name: _try(name, given.most, url, log) for name in given.module or MODULES})
    print(page)
    if given.write:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
